import os
import shutil
import subprocess  # noqa: TID251 - shellcheck is a program
from pathlib import Path

import pytest

from nodeagent.cli import main
from testbed import twins


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert main.call(["init", str(tmp_path / "site/configs")]) == 0
    return tmp_path / "site/configs"


def test_the_files_that_were_made_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["init", str(tmp_path / "new"), "--ci", "none"]) == 0
    named = capsys.readouterr().out.splitlines()
    assert f"{tmp_path}/new/post.sh" in named
    assert sorted(named) == sorted(str(p) for p in (tmp_path / "new").rglob("*") if p.is_file())


@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_the_made_tree_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str], ci: str) -> None:
    main.call(["init", str(tmp_path / "new"), "--ci", ci])
    capsys.readouterr()
    assert main.call(["lint", "--strict", str(tmp_path / "new")]) == 0
    assert capsys.readouterr() == ("", "")


def test_shellcheck_has_nothing_to_say_about_the_made_programs(made: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    programs = [made / "post.sh", *(made / "postscripts").iterdir(), *(made / "files/profile.d").iterdir()]
    done = subprocess.run(["shellcheck", *programs], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_directory_that_is_not_empty_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert main.call(["init", str(tmp_path)]) == 1
    assert capsys.readouterr() == (
        "",
        f"nodeagent: {tmp_path}: is not empty, and nothing is ever overwritten: name a new directory\n",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make private copies of the machine")
def test_the_made_tree_does_the_same_by_plain_shell_and_by_nodeagent(made: Path, tmp_path: Path) -> None:
    plain = twins.run(tmp_path / "plain", made, "sh /repo/post.sh login >/dev/null 2>&1")
    command = twins.nodeagent("apply", "--repo", "/repo", "--state", "/run/state", "--", "login")
    ours = twins.run(tmp_path / "ours", made, f"{command} >/dev/null 2>&1")
    assert (plain.status, ours.status) == (0, 0)
    assert ours.tree == plain.tree
    assert {"/etc/motd", "/etc/hosts", "/etc/profile.d/cluster.sh", "/etc/cluster/role"} <= plain.tree.keys()
    acted = [line for line in plain.stubs if not line.startswith("logger")]
    assert acted == [line for line in ours.stubs if not line.startswith("logger")] == ["sysctl --quiet --system"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make private copies of the machine")
def test_a_second_apply_of_the_made_tree_changes_nothing(made: Path, tmp_path: Path) -> None:
    apply = twins.nodeagent("apply", "--repo", "/repo", "--state", "/run/state", "--detailed-exitcodes")
    assert twins.run(tmp_path / "first", made, f"{apply} >/dev/null 2>&1").status == 2
    assert twins.run(tmp_path / "second", made, f"{apply} >/dev/null 2>&1; {apply} >/dev/null 2>&1").status == 0
