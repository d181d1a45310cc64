"""docs/lint.md explains every id, and its examples are true."""

import re
from pathlib import Path

import pytest

from nodeagent.lint.catalogue import RULES
from nodeagent.lint.check import lint
from nodeagent.lint.syntax import asking

from .conftest import Lint, tree_of

PROJECT = Path(__file__).resolve().parents[3]
TEXT = (PROJECT / "docs/lint.md").read_text()
SECTIONS = {m[1]: m[3] for m in re.finditer(r"^### ([\w-]+) \((\w+)\)\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S)}
SEVERITIES = dict(re.findall(r"^### ([\w-]+) \((\w+)\)$", TEXT, re.M))
EXAMPLE = re.compile(r"^<!-- (before|after): (\S+)(?: (0\d+))? -->\n```\n(.*?)^```$", re.M | re.S)
AROUND = {
    "post.sh": '#!/bin/sh\nPATH="$PWD/postscripts:$PATH"\njob\n',
    "postscripts/job": "#!/bin/sh\ntrue\n",
    "files/ssh/sshd_config": "",
    "files/munge/munge.key": "x" * 32,
    "files/certs/.gitkeep": "",
}


def found(id_: str, kind: str, tmp_path: Path) -> list[str]:
    """The ids that lint finds in an example and what stands around it."""
    files, plain = dict(AROUND), []
    for _, path, mode, text in (m for m in EXAMPLE.findall(SECTIONS[id_]) if m[0] == kind):
        files[path] = text.replace("␍", "\r")
        if mode == "0644":
            plain.append(path)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, newline="")
    return [finding.id for finding in lint(tree_of(files, plain), asking(tmp_path))]


def test_every_id_has_its_section_with_its_severity() -> None:
    assert {id_: rule.severity.value for id_, rule in RULES.items()} == SEVERITIES


@pytest.mark.parametrize("id_", RULES)
def test_the_example_before_yields_the_id(id_: str, tmp_path: Path) -> None:
    assert id_ in found(id_, "before", tmp_path)


@pytest.mark.parametrize("id_", RULES)
def test_the_example_after_does_not_yield_the_id_nor_any_other(id_: str, tmp_path: Path) -> None:
    assert EXAMPLE.search(SECTIONS[id_], SECTIONS[id_].index("<!-- after"))
    assert found(id_, "after", tmp_path) == []


def test_what_stands_around_the_examples_is_clean(linted: Lint) -> None:
    assert linted(AROUND) == []
