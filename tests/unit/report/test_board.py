"""What the board makes of events and outcomes, with a real file and a real socket in the manager's place."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.model.evaluation import Scope, Trigger
from nodeagent.model.events import EvaluationEnded, EvaluationStarted, Event, Notice, StepOutput
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome
from nodeagent.report import readiness, status
from nodeagent.report.board import Board

APPLIED = ApplyOutcome(mode=Mode.APPLYING, attempted="main@sha1:a", applied="main@sha1:a", ready=True, destinations=3)
FOUND = PollOutcome(commit="a", moved=False)
UNREACHABLE = Failure(code="RemoteUnreachable", message="no route", transient=True)
CRASH = Failure(code="WorkerFailed", message="apply worker: KeyError", transient=True)
LOCKED = Failure(code="NotNow", message="nodeagent apply is at work", transient=False)
STARTED = EvaluationStarted(number=1, revision="main@sha1:a", scope=Scope.FULL, trigger=Trigger.BOOT)
ENDED = EvaluationEnded(
    number=1,
    revision="main@sha1:a",
    scope=Scope.FULL,
    trigger=Trigger.BOOT,
    exit_status=0,
    finished=True,
    counts={},
    duration_usec=1,
)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    @property
    def texts(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Notice)]


class Place:
    """A board with all its surroundings."""

    def __init__(self, directory: Path, manager: socket.socket) -> None:
        self.directory = directory
        self.manager = manager
        self.log = Recorder()
        self.board = self.another()

    def another(self) -> Board:
        return Board(self.directory, self.log, version="1", url="ssh://host/repo")

    def conditions(self) -> dict[str, tuple[str, str]]:
        self.board.publish()
        raw = json.loads((self.directory / "status.json").read_text())
        return {c["type"]: (c["status"], c["reason"]) for c in raw["conditions"]}

    def told(self) -> list[str]:
        self.board.publish()
        lines = []
        while True:
            try:
                lines.append(self.manager.recv(4096).decode())
            except BlockingIOError:
                return lines


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    directory = tmp_path / "run"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Place(directory, manager)


def test_a_board_without_news_is_silent(place: Place) -> None:
    place.board.polled(FOUND)
    place.board.applied(APPLIED)
    assert len(place.told()) == 1
    before = (place.directory / "status.json").stat()
    place.board.polled(FOUND)
    place.board.applied(APPLIED)
    assert place.told() == []
    assert (place.directory / "status.json").stat() == before
    assert place.log.events == []


def test_a_poll_that_the_beacon_spared_is_told_from_one_of_the_server_and_both_outlive_the_daemon(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(board: Board) -> tuple[int | None, int | None]:
        board.publish()
        written = status.read(place.directory)
        assert written is not None
        return written.last_poll, written.last_beacon

    def poll(at: int, outcome: object) -> tuple[int | None, int | None]:
        monkeypatch.setattr(time, "time", lambda: float(at))
        place.board.polled(outcome)
        place.board.scheduled(at + 300)
        return told(place.board)

    assert poll(100, replace(FOUND, failure=UNREACHABLE)) == (None, None)
    assert poll(200, FOUND) == (200, None)
    assert poll(300, replace(FOUND, by_beacon=True)) == (200, 300)
    assert poll(400, UNREACHABLE) == (200, 300)
    assert told(place.another()) == (200, 300)


def test_the_manager_and_the_file_say_the_same(place: Place) -> None:
    place.board.applied(APPLIED)
    place.board.scheduled(1_700_000_000.4)
    (line,) = place.told()
    written = status.read(place.directory)
    assert written is not None
    assert line == f"STATUS={status.line(written)}"
    assert place.board.line == status.line(written)
    assert (written.applied, written.destinations, written.next_poll) == ("main@sha1:a", 3, 1_700_000_000)


def test_a_node_that_became_ready_has_a_file_that_names_the_revision_it_has_now(place: Place) -> None:
    readiness.write(str(place.directory), "of another boot")
    place.board.applied(replace(APPLIED, ready=False))
    place.board.publish()
    assert not (place.directory / "ready").exists()
    for revision in ("main@sha1:a", "main@sha1:b"):
        place.board.applied(replace(APPLIED, applied=revision))
        place.board.publish()
        assert readiness.read(str(place.directory)) == revision
    place.board = place.another()
    place.board.publish()
    assert readiness.read(str(place.directory)) == "main@sha1:b"


def test_where_all_steps_must_succeed_a_node_becomes_ready_with_the_last_and_stays_so(place: Place) -> None:
    place.board.all_steps = True
    place.board.applied(replace(APPLIED, failed_steps=("post.sh:3 a",)))
    assert place.conditions()["Ready"] == ("False", "StepsFailed")
    place.board.applied(replace(APPLIED, pending=("post.sh:4 b",)))
    assert place.conditions()["Ready"] == ("False", "StepsFailed")
    assert readiness.read(str(place.directory)) is None
    place.board.applied(APPLIED)
    place.board.applied(replace(APPLIED, failed_steps=("post.sh:3 a",)))
    assert place.conditions()["Ready"] == ("True", "Succeeded")
    assert readiness.read(str(place.directory)) is not None


def test_events_of_a_worker_are_passed_on_as_they_are(place: Place) -> None:
    events = [STARTED, StepOutput(number=1, text="x"), ENDED]
    for event in events:
        place.board.hear(event)
    place.board.hear_poll(Notice(priority=6, text="y"))
    assert place.log.events == [*events, Notice(priority=6, text="y")]


def test_an_evaluation_shows_as_progress_until_it_ends(place: Place) -> None:
    place.board.hear(STARTED)
    assert place.conditions()["Reconciling"] == ("True", "Progressing")
    place.board.hear(ENDED)
    assert "Reconciling" not in place.conditions()


def test_an_evaluation_that_was_broken_off_leaves_the_node_degraded_until_one_ends(place: Place) -> None:
    place.board.hear(STARTED)
    place.board.hear(replace(ENDED, finished=False))
    place.board.applied(APPLIED)
    assert place.conditions()["Degraded"] == ("True", "EvaluationUnfinished")
    place.board.hear(STARTED)
    place.board.hear(ENDED)
    assert "Degraded" not in place.conditions()


def test_a_worker_that_died_in_an_evaluation_leaves_the_node_degraded(place: Place) -> None:
    place.board.applied(APPLIED)
    place.board.hear(STARTED)
    place.board.applied(CRASH, "Traceback\n...")
    assert place.conditions() == {
        "Ready": ("True", "Succeeded"),
        "Reconciling": ("True", "WorkerFailed"),
        "Degraded": ("True", "EvaluationUnfinished"),
    }
    assert place.log.texts == ["apply worker: KeyError", "Traceback\n..."]


def test_a_failed_poll_is_said_once_and_so_is_its_end(place: Place) -> None:
    for _ in range(3):
        place.board.polled(replace(FOUND, failure=UNREACHABLE))
        assert place.conditions()["Reconciling"] == ("True", "RemoteUnreachable")
    place.board.polled(FOUND)
    assert "Reconciling" not in place.conditions()
    assert place.log.texts == ["no route", "poll: recovered from RemoteUnreachable"]


def test_attempts_that_fail_within_a_poll_are_the_same_problem(place: Place) -> None:
    for _ in range(20):
        place.board.hear_poll(Notice(priority=4, text="no route", code="RemoteUnreachable"))
        assert place.conditions()["Reconciling"] == ("True", "RemoteUnreachable")
    place.board.polled(replace(FOUND, failure=UNREACHABLE))
    place.board.polled(FOUND)
    assert place.log.texts == ["no route", "poll: recovered from RemoteUnreachable"]


@pytest.mark.parametrize("outcome", [APPLIED, None, "nonsense"])
def test_a_poll_worker_that_gives_what_is_no_poll_is_reported(place: Place, outcome: object) -> None:
    place.board.polled(outcome)
    assert place.conditions()["Reconciling"] == ("True", "WorkerFailed")
    assert place.log.texts[0].startswith("a worker gave a ")


def test_a_refused_revision_stalls_and_the_node_stays_ready_with_the_one_before(place: Place) -> None:
    rejected = Failure(code="RevisionRejected", message="too large", transient=False)
    place.board.applied(APPLIED)
    place.board.applied(replace(APPLIED, failure=rejected))
    assert place.conditions() == {"Ready": ("True", "Succeeded"), "Stalled": ("True", "RevisionRejected")}


def test_a_failure_that_knows_nothing_of_the_node_does_not_make_it_forgotten(place: Place) -> None:
    broken = ApplyOutcome(mode=Mode.APPLYING, attempted="", applied="", ready=False, failure=CRASH)
    place.board.applied(broken)
    assert place.conditions()["Ready"] == ("False", "NotYetApplied")
    place.board.applied(APPLIED)
    place.board.applied(broken)
    assert place.conditions()["Ready"] == ("True", "Succeeded")


def test_a_command_line_at_work_is_no_problem(place: Place) -> None:
    place.board.applied(APPLIED)
    place.board.applied(ApplyOutcome(mode=Mode.APPLYING, attempted="", applied="", ready=False, failure=LOCKED))
    assert place.conditions() == {"Ready": ("True", "Succeeded")}
    assert place.log.events == []


def test_what_an_observer_would_run_does_not_keep_a_node_from_being_ready(place: Place) -> None:
    place.board.all_steps = True
    observed = replace(APPLIED, mode=Mode.OBSERVING, pending=("post.sh:4 b",), planned="1 steps would run")
    place.board.applied(replace(observed, ready=False))
    assert place.conditions()["Ready"] == ("False", "AwaitingAdoption")
    place.board.applied(observed)
    assert place.conditions()["Ready"] == ("True", "Succeeded")


def test_observing_is_said_once(place: Place) -> None:
    observing = ApplyOutcome(mode=Mode.OBSERVING, attempted="", applied="", ready=False)
    for _ in range(3):
        place.board.applied(observing)
    assert place.conditions() == {"Ready": ("False", "AwaitingAdoption")}
    (text,) = place.log.texts
    assert "nodeagent adopt" in text


def test_a_bad_configuration_stalls_until_a_good_one_comes(place: Place) -> None:
    place.board.reloaded(Failure(code="InvalidConfiguration", message="f: k: bad", transient=False))
    assert place.conditions()["Stalled"] == ("True", "InvalidConfiguration")
    place.board.reloaded(None)
    assert "Stalled" not in place.conditions()
    assert place.log.texts == ["f: k: bad", "configuration: recovered from InvalidConfiguration"]


def test_a_restart_of_the_daemon_does_not_make_a_node_unready(place: Place) -> None:
    place.board.applied(replace(APPLIED, failed_steps=("post.sh:1 RUN x",)))
    before = place.conditions()
    since = [c["since"] for c in json.loads((place.directory / "status.json").read_text())["conditions"]]
    place.board = place.another()
    assert place.conditions() == before
    assert [c["since"] for c in json.loads((place.directory / "status.json").read_text())["conditions"]] == since


def test_a_status_file_that_cannot_be_written_is_said_once_and_the_manager_still_told(place: Place) -> None:
    os.rename(place.directory, place.directory.with_name("away"))
    place.board.applied(APPLIED)
    assert len(place.told()) == 1
    place.board.applied(replace(APPLIED, destinations=4))
    place.board.publish()
    assert len(place.log.texts) == 1
    assert place.log.texts[0].endswith("run/status.json: cannot be written: No such file or directory")
    os.rename(place.directory.with_name("away"), place.directory)
    place.board.applied(APPLIED)
    place.board.publish()
    assert place.log.texts[1:] == ["status file: recovered from StatusNotWritten"]
    assert status.read(place.directory) is not None
