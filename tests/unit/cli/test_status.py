import json
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.cli import status as verb
from nodeagent.model.outcomes import Condition, ConditionType, Mode, Status
from nodeagent.report import presence, status
from nodeagent.workers import child

STATUS = Status(
    version="1.2",
    mode=Mode.APPLYING,
    url="ssh://git@host/repo",
    attempted="main@sha1:bbb",
    applied="main@sha1:aaa",
    conditions=(
        Condition(type=ConditionType.READY, status=False, reason="NotYetApplied", message="not yet", since=10),
        Condition(
            type=ConditionType.STALLED, status=True, reason="HostKeyMismatch", message="other\33[2Jkey", since=20
        ),
    ),
    failed_steps=("post.sh:3 RUN a",),
    pending=("post.sh:4 RUN b",),
    destinations=7,
    next_poll=1_700_000_000,
    last_poll=1_699_999_000,
    last_beacon=1_699_999_700,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    runtime = tmp_path / "run"
    runtime.mkdir()
    file = tmp_path / "nodeagent.toml"
    file.write_text(f'[source]\nurl = "ssh://git@host/repo"\n[paths]\nruntime = "{runtime}"\n')
    return file


@pytest.fixture
def running(config: Path) -> Iterator[None]:
    """A process that is the daemon, as far as anybody can tell."""
    runtime = config.parent / "run"

    def be_there() -> None:
        with presence.claim(runtime):
            signal.pause()

    process = child.fork(be_there, keep=(), session=True)
    give_up = time.monotonic() + 20
    while presence.holder(runtime) is None:
        assert time.monotonic() < give_up
        select.select([], [], [], 0.005)
    yield
    process.kill()
    process.reap()


def said(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main.call(["status", "--config", str(config), *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.usefixtures("running")
def test_the_text_says_all_that_there_is_to_say(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    status.write(config.parent / "run", STATUS)
    assert said(config, capsys) == (
        "nodeagent 1.2, applying\n"
        "  source     ssh://git@host/repo\n"
        "  applied    main@sha1:aaa\n"
        "  attempted  main@sha1:bbb\n"
        "  watching   7 destinations\n"
        "  last poll  2023-11-14 21:56:40\n"
        "  beacon     2023-11-14 22:08:20: nothing is new\n"
        "  next poll  2023-11-14 22:13:20\n"
        "conditions\n"
        "  not Ready: NotYetApplied, since 1970-01-01 00:00:10\n"
        "    not yet\n"
        "  Stalled: HostKeyMismatch, since 1970-01-01 00:00:20\n"
        "    other\N{REPLACEMENT CHARACTER}[2Jkey\n"
        "failed\n"
        "  post.sh:3 RUN a\n"
        "pending\n"
        "  post.sh:4 RUN b\n"
    )


@pytest.mark.usefixtures("running")
def test_a_new_node_has_a_short_text(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.write(config.parent / "run", Status(version="1", mode=Mode.OBSERVING, url="u", attempted="", applied=""))
    assert said(config, capsys) == (
        "nodeagent 1, observing\n  source     u\n  applied    nothing yet\n  watching   0 destinations\nconditions\n"
    )


@pytest.mark.usefixtures("running")
def test_json_has_the_layout_of_the_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.write(config.parent / "run", STATUS)
    assert json.loads(said(config, capsys, "--json")) == {**status.to_json(STATUS), "running": True}


def test_a_daemon_that_is_gone_leaves_its_last_word(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.write(config.parent / "run", STATUS)
    text = said(config, capsys)
    assert text.startswith("nodeagent 1.2, applying (the daemon is not running; this is its last word)\n")
    assert "next poll" not in text
    assert json.loads(said(config, capsys, "--json"))["running"] is False


def test_a_daemon_that_never_ran_is_exit_code_1_and_says_what_to_do(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.call(["status", "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("the daemon has not run since boot: start nodeagent.service\n")


@pytest.mark.usefixtures("running")
def test_a_daemon_that_has_only_begun_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["status", "--config", str(config)]) == 1
    assert "has begun" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_read_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("interval = 'often'")
    assert verb._runtime(tmp_path / "bad.toml") == verb._runtime(tmp_path / "missing.toml") == Path("/run/nodeagent")
