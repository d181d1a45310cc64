"""The man pages, read by the two programs that read man pages."""

import os
import subprocess  # noqa: TID251 - man and mandoc are programs
import tomllib
from pathlib import Path

import pytest
from pages import command, settings

from nodeagent.cli.main import parser
from nodeagent.config import Config, load

READ = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": os.environ["PATH"]}


def manuals(pages: Path) -> list[Path]:
    return sorted(pages.glob("man?/*"))


def shown(page: Path) -> str:
    return subprocess.run(["man", "-l", page], env=READ, capture_output=True, text=True, check=True).stdout


def test_man_has_nothing_to_warn_of(pages: Path) -> None:
    for page in manuals(pages):
        read = subprocess.run(["man", "--warnings", "-l", page], env=READ, capture_output=True, text=True, check=True)
        assert read.stderr == "", page.name


def test_mandoc_has_nothing_to_complain_of(pages: Path) -> None:
    read = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", *manuals(pages)], capture_output=True, text=True, check=False
    )
    assert read.stdout + read.stderr == ""
    assert read.returncode == 0


def test_each_verb_has_a_page_with_all_its_options(pages: Path) -> None:
    root = command.read(parser())
    assert {page.name for page in manuals(pages)} == {
        "nodeagent.8",
        "nodeagent.toml.5",
        *(f"nodeagent-{verb.words[0]}.8" for verb in root.commands),
    }
    for verb in root.commands:
        told = shown(pages / f"man8/nodeagent-{verb.words[0]}.8")
        assert all(flag in told for below in verb.walk() for option in below.options for flag in option.flags)
        assert all(" ".join(below.words) in told for below in verb.walk())


def test_what_roff_would_take_for_its_own_is_shown_as_it_is(pages: Path) -> None:
    assert "`nodeagent redo PATH`" in " ".join(shown(pages / "man8/nodeagent-undo.8").split())
    assert "'# nodeagent: ignore=ID'" in " ".join(shown(pages / "man8/nodeagent-lint.8").split())


def test_every_key_of_the_configuration_is_described(pages: Path) -> None:
    told = " ".join(shown(pages / "man5/nodeagent.toml.5").split())
    for table in settings.tables(Config):
        assert table.description
        for setting in table.settings:
            assert setting.description, f"{table.name}.{setting.name}"
            assert setting.name in told


def test_the_commented_configuration_sets_nothing(pages: Path) -> None:
    assert not tomllib.loads((pages / "nodeagent.toml").read_text())


def test_the_commented_configuration_with_its_comments_taken_away_is_the_default(pages: Path, tmp_path: Path) -> None:
    lines = (pages / "nodeagent.toml").read_text().splitlines()
    keys = [line.removeprefix("#") for line in lines if line.startswith("#") and not line.startswith("# ")]
    file = tmp_path / "nodeagent.toml"
    required = [line.replace("url =", 'url = "a@b:c"') for line in keys]
    set_ones = [line for line in required if not line.endswith("=")]  # the others have no default
    file.write_text("\n".join(set_ones))
    assert load(file) == Config.model_validate({"source": {"url": "a@b:c"}})


@pytest.mark.parametrize("word", ["Copyright", "/work", "/tmp"])
def test_no_page_has_what_it_must_not_have(pages: Path, word: str) -> None:
    assert not [page.name for page in manuals(pages) if word in page.read_text()]
