import json
import subprocess  # noqa: TID251 - what is asserted is what a new process loads
import sys
import threading
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.report import readiness


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    file = tmp_path / "nodeagent.toml"
    file.write_text(f'[source]\nurl = "ssh://git@host/repo"\n[paths]\nruntime = "{tmp_path}/run"\n')
    return file


def ready(config: Path, *words: str) -> int:
    return main.call(["ready", "--config", str(config), *words])


def say(config: Path, revision: str) -> None:
    readiness.write(str(config.parent / "run"), revision)


def test_a_ready_node_prints_its_revision(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(config, "main@sha1:abcdef")
    assert ready(config) == 0
    assert capsys.readouterr().out == "main@sha1:abcdef\n"


def test_a_node_that_is_not_ready_says_why(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready(config) == 1
    assert "the daemon has said nothing since boot" in capsys.readouterr().err
    waiting = {"type": "Ready", "reason": "NotYetApplied", "message": "not yet"}
    status = config.parent / "run/status.json"
    status.write_text(json.dumps({"conditions": [waiting]}))
    assert ready(config) == 1
    assert "not ready: NotYetApplied: not yet" in capsys.readouterr().err
    stuck = {"type": "Stalled", "reason": "WrongPassword", "message": "the key does not open"}
    status.write_text(json.dumps({"conditions": [waiting, stuck]}))
    assert ready(config) == 1
    assert "not ready: WrongPassword: the key does not open" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["abc", "abcdef", "main@sha1:abcdef"])
def test_a_revision_may_be_asked_for_by_its_beginning_or_as_printed(config: Path, wanted: str) -> None:
    say(config, "main@sha1:abcdef")
    assert ready(config, "--revision", wanted) == 0


def test_another_revision_is_not_what_was_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(config, "main@sha1:abcdef")
    assert ready(config, "--revision", "bcd") == 1
    assert "it has main@sha1:abcdef, and bcd is waited for" in capsys.readouterr().err


def test_waiting_ends_when_the_node_becomes_ready(config: Path) -> None:
    timer = threading.Timer(0.1, say, (config, "main@sha1:abcdef"))
    timer.start()
    assert ready(config, "--wait", "--timeout", "30") == 0
    timer.join()


def test_waiting_ends_at_its_time_limit(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready(config, "--wait", "--timeout", "0.05") == 1
    assert "not ready after 0.05 s: " in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["-1", "soon", "nan"])
def test_a_time_limit_that_is_none_is_refused(config: Path, limit: str) -> None:
    with pytest.raises(SystemExit) as refused:
        ready(config, "--wait", "--timeout", limit)
    assert refused.value.code == 2


def test_a_drop_in_and_a_broken_configuration_are_taken_as_far_as_they_go(config: Path) -> None:
    config.write_text("not toml")
    drop_ins = config.with_name(config.name + ".d")
    drop_ins.mkdir()
    (drop_ins / "a.toml").write_text(f'[paths]\nruntime = "{config.parent}/run"\n')
    say(config, "main@sha1:abcdef")
    assert ready(config) == 0


def loaded(config: Path) -> set[str]:
    """The modules that a process of this verb loads."""
    program = (
        "import sys; from nodeagent.cli import main; main.call(sys.argv[1:]);"
        "print(*sorted(m for m in sys.modules if '.' not in m))"
    )
    asked = [sys.executable, "-c", program, "ready", "--config", str(config)]
    return set(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())


def test_neither_git_nor_the_grammar_nor_pydantic_is_loaded_for_it(config: Path) -> None:
    say(config, "main@sha1:abcdef")
    assert not {"pydantic", "pygit2", "cryptography", "sqlite3", "ctypes", "socket"} & loaded(config)


def test_a_key_in_a_comment_as_the_packages_bring_it_costs_no_parser(config: Path) -> None:
    assert "tomllib" in loaded(config)
    config.write_text('#[paths]\n#runtime = "/elsewhere"\n')
    assert "tomllib" not in loaded(config)
