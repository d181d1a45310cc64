import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.cli.run import FileSetup, plan_of
from nodeagent.config import load
from nodeagent.errors import InvalidConfiguration
from nodeagent.workers import child

GOOD = '[source]\nurl = "ssh://git@host/repo"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nodeagent.toml"
    path.write_text(GOOD)
    return path


def exit_code(main_function: Callable[[], int]) -> str:
    """How a process that does this ends."""

    def verb() -> None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - pytest's own is closed in a child
        os._exit(main_function())

    process = child.fork(verb, keep=(), session=True)
    process.wait(float("inf"))
    ending = process.ending()
    process.reap()
    return ending


def test_a_bad_configuration_is_exit_code_78_so_that_the_unit_is_not_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.call(["run", "--config", str(tmp_path / "missing.toml")]) == 78
    assert capsys.readouterr().err.startswith(f"nodeagent: {tmp_path}/missing.toml: no such file")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give it up")
def test_who_is_not_root_is_refused(file: Path) -> None:
    def verb() -> int:
        os.setresuid(64_999, 64_999, 64_999)
        return main.call(["run", "--config", str(file)])

    assert exit_code(verb) == "exited with code 78"


def test_the_limits_of_the_plan_follow_from_the_configuration(file: Path) -> None:
    file.write_text(f"interval = 60\nevaluation_timeout = 100\n{GOOD}fetch_limit = 10\n")
    plan = plan_of(load(file))
    assert plan.url == "ssh://git@host/repo"
    assert (plan.schedule.interval, plan.schedule.jitter) == (60, 0.05)
    assert plan.poll_limit == 10
    assert plan.apply_limit == 170


def test_a_configuration_that_did_not_change_is_not_taken_for_another(file: Path) -> None:
    setup = FileSetup(file)
    setup.load()
    assert not setup.changed()


@pytest.mark.parametrize("what", ["content", "drop-in", "gone"])
def test_a_configuration_that_changed_is_noticed_once(file: Path, what: str) -> None:
    setup = FileSetup(file)
    setup.load()
    drop_ins = file.with_name("nodeagent.toml.d")
    match what:
        case "content":
            file.write_text(f"interval = 60\n{GOOD}")
        case "drop-in":
            drop_ins.mkdir()
            (drop_ins / "site.toml").write_text("interval = 60\n")
        case "gone":
            file.unlink()
    assert setup.changed()
    if what == "gone":
        with pytest.raises(InvalidConfiguration):
            setup.load()
    else:
        assert setup.load().schedule.interval == 60
    assert not setup.changed()
