"""The daemon as a process of its own: real signals, real workers, a real socket in the service manager's place.

Intervals are short, and nothing sleeps: every wait is for something to happen, with a deadline.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from nodeagent.daemon import loop
from nodeagent.daemon.cycle import Plan
from nodeagent.daemon.loop import Daemon
from nodeagent.daemon.schedule import Schedule
from nodeagent.errors import InvalidConfiguration, RemoteUnreachable
from nodeagent.model.events import Event, Looked, Notice, Reporter, StepOutput
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome, Status
from nodeagent.report import status
from nodeagent.report.board import Board
from nodeagent.workers import child, frames, worker
from nodeagent.workers.stop import Stop

DEADLINE = 20.0
LONG = 3_600.0
SHORT = 0.1

T = TypeVar("T")
Poll = Callable[[str, Reporter, Stop], PollOutcome]
Apply = Callable[[str, Reporter, Stop], ApplyOutcome]


def found(_commit: str, _reporter: Reporter, _stop: Stop) -> PollOutcome:
    return PollOutcome(commit="c1", moved=False)


def applied(commit: str, _reporter: Reporter, _stop: Stop) -> ApplyOutcome:
    return ApplyOutcome(mode=Mode.APPLYING, attempted=commit, applied=commit, ready=True)


def hang(*_: object) -> object:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


@dataclass(kw_only=True)
class Desk:
    """The configuration of a test: what the files of a node are to the daemon."""

    poll: Poll = found
    apply: Apply = applied
    interval: float = LONG
    poll_limit: float = DEADLINE
    apply_limit: float = DEADLINE
    later: "Desk | InvalidConfiguration | None" = None  # what a reload finds
    touched: Path | None = None  # once it exists, the configuration counts as changed
    loads: int = 0

    def plan(self) -> Plan:
        return Plan(
            ready_needs_all=False,
            url=f"ssh://host/{self.interval}",
            schedule=Schedule(interval=self.interval, jitter=0, place=0),
            poll=self.poll,
            poll_limit=self.poll_limit,
            apply=self.apply,
            apply_limit=self.apply_limit,
            mark=int,
            observation_holds=LONG,
        )

    def load(self) -> Plan:
        self.loads += 1
        if isinstance(self.later, InvalidConfiguration):
            error, self.later = self.later, None
            raise error
        return (self.later or self).plan()

    def changed(self) -> bool:
        return self.touched is not None and self.touched.exists() and self.loads == 0


class Log:
    """A reporter into a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def report(self, event: Event) -> None:
        self._file.write(frames.encode(event))


class Service:
    """A daemon, and all that a service manager would see of it."""

    def __init__(self, directory: Path, manager: socket.socket) -> None:
        self.directory = directory
        self.manager = manager
        self.messages: list[str] = []
        self.process: child.Child | None = None

    def start(self, desk: Desk, before: Callable[[], object] = lambda: None) -> None:
        def main() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            before()
            board = Board(self.directory, Log(self.directory / "log"), version="1", url="")
            Daemon(desk.plan(), desk, board).run()

        self.process = child.fork(main, keep=(), session=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send(number)

    def end(self) -> str:
        """Wait for the end; how it ended, empty for exit code 0."""
        assert self.process is not None
        assert self.process.wait(time.monotonic() + DEADLINE), "the daemon does not end"
        ending = self.process.ending()
        self.process.reap()
        self.process = None
        return ending

    def hear(self) -> list[str]:
        """All that the manager was told so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self.manager.recv(65_536).decode())
        return self.messages

    def events(self) -> list[Event]:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.directory / "log").read_bytes().splitlines()
            return [e for e in map(frames.decode, lines) if isinstance(e, Event)]
        return []

    def texts(self) -> list[str]:
        return [e.text for e in self.events() if isinstance(e, Notice | StepOutput)]

    def status(self) -> Status:
        return until(lambda: status.read(self.directory))

    def conditions(self) -> dict[str, str]:
        return {c.type: c.reason for c in self.status().conditions}

    def trail(self, name: str = "trail") -> list[str]:
        """What jobs wrote with :func:`mark`."""
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / name).read_text().split()
        return []


def until(probe: Callable[[], T | None]) -> T:
    """Wait until the probe gives something true."""
    give_up = time.monotonic() + DEADLINE
    while True:
        if value := probe():
            return value
        assert time.monotonic() < give_up, "it does not happen"
        select.select([], [], [], 0.005)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            monkeypatch.delenv(name, raising=False)
        subject = Service(tmp_path, manager)
        yield subject
        if subject.process is not None:
            subject.process.send(signal.SIGKILL)
            subject.process.reap()


def mark(path: Path, word: str) -> None:
    """In a job: leave a word in a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)


def marking(trail: Path, *, until_exists: Path | None = None) -> Apply:
    """An apply job that leaves its commit, begin and end, in a file; it waits for another file before it ends."""

    def job(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        mark(trail, f"+{commit}")
        while until_exists is not None and not until_exists.exists() and not stop.wait(0.005):
            pass
        mark(trail, f"-{commit}")
        return applied(commit, reporter, stop)

    return job


def following(head: Path) -> Poll:
    """A poll job that finds the commit named in a file; the server is away while there is no such file."""

    def job(commit: str, _reporter: Reporter, _stop: Stop) -> PollOutcome:
        try:
            newest = head.read_text()
        except FileNotFoundError as error:
            raise RemoteUnreachable("no route to host") from error
        return PollOutcome(commit=newest, moved=newest != commit)

    return job


def place(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_it_is_ready_at_once_even_while_the_server_hangs(service: Service) -> None:
    service.start(Desk(poll=hang))  # type: ignore[arg-type]
    until(lambda: any(m.startswith("READY=1\nSTATUS=nothing applied yet; not Ready") for m in service.hear()))


def test_the_commit_that_a_poll_finds_is_applied_and_the_status_says_so(service: Service) -> None:
    service.start(Desk(apply=marking(service.directory / "trail")))
    until(lambda: service.conditions() == {"Ready": "Succeeded"})
    assert service.trail() == ["+c1", "-c1"]
    until(lambda: service.status().applied == "c1")
    until(lambda: service.hear()[-1].startswith("STATUS=c1; Ready; next poll "))
    next_poll = service.status().next_poll
    assert next_poll is not None
    assert LONG / 2 - 60 < next_poll - time.time() < LONG * 1.5


def test_a_new_commit_is_applied_in_the_next_cycle(service: Service) -> None:
    head = service.directory / "head"
    place(head, "c1")
    service.start(Desk(poll=following(head), apply=marking(service.directory / "trail"), interval=SHORT))
    until(lambda: "-c1" in service.trail())
    place(head, "c2")
    until(lambda: "-c2" in service.trail())
    assert service.status().url == ""


def test_cycles_without_news_log_nothing(service: Service) -> None:
    service.start(Desk(apply=marking(service.directory / "trail"), interval=SHORT))
    until(lambda: len(service.trail()) >= 8)
    assert service.events() == []


def test_events_of_both_workers_reach_the_log_in_order(service: Service) -> None:
    def poll(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        reporter.report(Notice(priority=6, text="polling"))
        return found(commit, reporter, stop)

    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        for number in range(200):
            reporter.report(StepOutput(number=0, text=str(number)))
        return applied(commit, reporter, stop)

    service.start(Desk(poll=poll, apply=apply))
    until(lambda: service.texts() == ["polling", *map(str, range(200))])


def test_while_the_server_is_away_the_last_commit_is_enforced_and_the_trouble_said_once(service: Service) -> None:
    head = service.directory / "head"
    place(head, "c1")
    service.start(Desk(poll=following(head), apply=marking(service.directory / "trail"), interval=SHORT))
    until(lambda: "-c1" in service.trail())
    head.unlink()
    until(lambda: service.conditions().get("Reconciling") == "RemoteUnreachable")
    so_far = len(service.trail())
    until(lambda: len(service.trail()) > so_far + 6)
    assert set(service.trail()) == {"+c1", "-c1"}
    assert service.texts() == ["no route to host"]
    assert service.conditions()["Ready"] == "Succeeded"
    place(head, "c2")
    until(lambda: "-c2" in service.trail())
    until(lambda: service.texts() == ["no route to host", "poll: recovered from RemoteUnreachable"])
    until(lambda: service.conditions() == {"Ready": "Succeeded"})


def test_without_any_commit_what_is_there_is_enforced(service: Service) -> None:
    service.start(Desk(poll=following(service.directory / "head"), apply=marking(service.directory / "trail")))
    until(lambda: service.trail() == ["+", "-"])


def test_a_poll_that_takes_long_does_not_hold_up_what_is_known(service: Service) -> None:
    def poll(_commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        reporter.report(Notice(priority=4, text="no route to host", code="RemoteUnreachable"))
        stop.wait(DEADLINE)
        raise RemoteUnreachable("no route to host")

    service.start(Desk(poll=poll, apply=marking(service.directory / "trail"), interval=SHORT))
    until(lambda: len(service.trail()) >= 8)
    until(lambda: service.conditions().get("Reconciling") == "RemoteUnreachable")
    assert service.texts() == ["no route to host"]


def test_a_commit_found_late_is_applied_at_once(service: Service) -> None:
    head = service.directory / "head"

    def poll(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        while not head.exists():
            stop.wait(0.005)
        return following(head)(commit, reporter, stop)

    service.start(Desk(poll=poll, apply=marking(service.directory / "trail"), interval=1))
    until(lambda: service.trail()[:2] == ["+", "-"])
    place(head, "c1")
    until(lambda: service.trail()[-2:] == ["+c1", "-c1"])


def test_two_runs_of_apply_never_overlap_and_no_queue_grows(service: Service) -> None:
    head, go = service.directory / "head", service.directory / "go"
    place(head, "c0")
    apply = marking(service.directory / "trail", until_exists=go)
    polls = service.directory / "polls"

    def poll(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        mark(polls, "x")
        return following(head)(commit, reporter, stop)

    service.start(Desk(poll=poll, apply=apply, interval=SHORT))
    until(lambda: service.trail() == ["+c0"])
    for number in range(1, 6):
        place(head, f"c{number}")
        so_far = len(service.trail("polls"))
        until(lambda so_far=so_far: len(service.trail("polls")) > so_far + 1)  # type: ignore[misc]
    assert service.trail() == ["+c0"]
    go.touch()
    until(lambda: len(service.trail()) >= 6)
    trail = service.trail()
    assert trail[:4] == ["+c0", "-c0", "+c5", "-c5"]
    assert [word[0] for word in trail[: len(trail) // 2 * 2]] == ["+", "-"] * (len(trail) // 2)


@pytest.mark.parametrize("kind", ["poll", "apply"])
def test_a_job_with_a_bug_is_reported_with_its_traceback_once_and_survived(service: Service, kind: str) -> None:
    def job(*_: object) -> PollOutcome:
        mark(service.directory / "tries", "x")
        raise KeyError("the bug")

    desk = Desk(interval=SHORT)
    setattr(desk, kind, job)
    service.start(desk)
    until(lambda: len(service.trail("tries")) >= 4)
    message, traceback = service.texts()
    assert message.startswith(f"{kind} worker: KeyError: 'the bug'")
    assert traceback.startswith("Traceback")
    until(lambda: service.conditions().get("Reconciling") == "WorkerFailed")


@pytest.mark.parametrize("kind", ["poll", "apply"])
def test_a_killed_worker_is_reported_and_survived(service: Service, kind: str) -> None:
    def job(*_: object) -> PollOutcome:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    desk = Desk()
    setattr(desk, kind, job)
    service.start(desk)
    until(lambda: service.texts() == [f"{kind} worker: killed by signal 9 (Killed)"])
    until(lambda: service.conditions().get("Reconciling") == "WorkerFailed")


@pytest.mark.parametrize("kind", ["poll", "apply"])
def test_a_hung_worker_is_ended_at_its_limit_and_survived(
    service: Service, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.05)
    desk = Desk(poll_limit=0.1 if kind == "poll" else DEADLINE, apply_limit=0.1 if kind == "apply" else DEADLINE)
    setattr(desk, kind, hang)
    service.start(desk)
    text = f"{kind} worker: ended at its time limit of 0.1 s (killed by signal 9 (Killed))"
    until(lambda: service.texts() == [text])


def test_a_worker_that_floods_its_pipe_does_not_keep_the_daemon_from_its_signals(service: Service) -> None:
    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        while not stop.is_set():
            reporter.report(StepOutput(number=0, text="flood"))
        return applied(commit, reporter, stop)

    service.start(Desk(apply=apply))
    until(lambda: len(service.texts()) > 1_000)
    service.send(signal.SIGTERM)
    assert service.end() == ""


def test_a_worker_that_writes_garbage_is_ended_and_survived(service: Service) -> None:
    def apply(*_: object) -> ApplyOutcome:
        for descriptor in range(3, 32):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"garbage\n")
        hang()
        raise AssertionError

    service.start(Desk(apply=apply))
    until(lambda: service.texts() == ["apply worker: sent what is no frame; this is a fault of nodeagent's own"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_process_left_to_fork_is_reported_and_survived(service: Service) -> None:
    def become_nobody_with_no_process_to_spare() -> None:
        os.chown(service.directory, 64_998, 64_998)
        os.setresuid(64_998, 64_998, 64_998)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    with tempfile.TemporaryDirectory() as directory:  # where others may go: pytest's own is root's alone
        service.directory = Path(directory)
        service.start(Desk(interval=SHORT), become_nobody_with_no_process_to_spare)
        text = "no process for a worker: Resource temporarily unavailable"
        until(lambda: service.texts() == [text, text])  # of the poll, and of apply
        service.send(signal.SIGTERM)
        assert service.end() == ""


def quiet_after(polls: Path, head: Path) -> Poll:
    """A poll job that finds the node quiet."""

    def job(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        mark(polls, "x")
        reporter.report(Looked(quiet=True))
        return following(head)(commit, reporter, stop)

    return job


@pytest.mark.parametrize(
    "change",
    [
        {"failure": Failure(code="RemoteUnreachable", message="m", transient=True)},
        {"pending": ("post.sh:1 RUN x",)},
        {"mode": Mode.OBSERVING, "failure": Failure(code="RemoteUnreachable", message="m", transient=True)},
    ],
)
def test_a_node_on_which_something_is_left_to_do_is_not_left_alone(service: Service, change: dict[str, Any]) -> None:
    head = service.directory / "head"
    place(head, "c1")

    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        mark(service.directory / "trail", commit)
        return replace(applied(commit, reporter, stop), **change)

    service.start(Desk(poll=quiet_after(service.directory / "polls", head), apply=apply, interval=SHORT))
    until(lambda: len(service.trail()) >= 4)


def test_what_a_poll_worker_says_of_the_node_after_its_first_word_does_not_count(service: Service) -> None:
    head = service.directory / "head"
    place(head, "c1")

    def turned(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        reporter.report(Looked(quiet=False))
        return quiet_after(service.directory / "polls", head)(commit, reporter, stop)

    service.start(Desk(poll=turned, apply=marking(service.directory / "trail"), interval=SHORT))
    until(lambda: len(service.trail()) >= 6)


def test_sighup_applies_also_on_a_quiet_node(service: Service) -> None:
    head = service.directory / "head"
    place(head, "c1")
    desk = Desk(poll=quiet_after(service.directory / "polls", head), apply=marking(service.directory / "trail"))
    service.start(desk)
    until(lambda: service.trail() == ["+c1", "-c1"])
    service.send(signal.SIGHUP)
    until(lambda: service.trail() == ["+c1", "-c1"] * 2)


def test_sighup_takes_the_new_configuration_and_polls_at_once(service: Service) -> None:
    later = Desk(apply=marking(service.directory / "later"), interval=LONG * 2)
    service.start(Desk(apply=marking(service.directory / "trail"), later=later))
    until(lambda: service.trail() == ["+c1", "-c1"])
    service.hear()
    service.messages.clear()
    service.send(signal.SIGHUP)
    until(lambda: service.trail("later") == ["+c1", "-c1"])
    heard = service.hear()
    reloading = next(i for i, m in enumerate(heard) if m.startswith("RELOADING=1\nMONOTONIC_USEC="))
    assert any(m.startswith("READY=1\nSTATUS=") for m in heard[reloading:])
    assert service.trail() == ["+c1", "-c1"]
    until(lambda: service.status().url == f"ssh://host/{LONG * 2}")


def test_sighup_replaces_a_poll_that_is_still_at_work(service: Service) -> None:
    def poll(_commit: str, _reporter: Reporter, stop: Stop) -> PollOutcome:
        mark(service.directory / "began", "x")
        stop.wait(DEADLINE)
        raise RemoteUnreachable("must not be heard of")

    service.start(Desk(poll=poll, later=Desk(apply=marking(service.directory / "trail"))))
    until(lambda: service.trail("began"))
    service.send(signal.SIGHUP)
    until(lambda: service.trail() == ["+c1", "-c1"])
    assert service.texts() == []


def test_sighup_while_apply_is_at_work_leads_to_one_more_run_with_the_new_configuration(service: Service) -> None:
    go = service.directory / "go"
    first = Desk(
        apply=marking(service.directory / "trail", until_exists=go),
        later=Desk(apply=marking(service.directory / "later")),
    )
    service.start(first)
    until(lambda: service.trail() == ["+c1"])
    for _ in range(3):
        service.messages.clear()
        service.send(signal.SIGHUP)
        until(lambda: any(m.startswith("READY=1") for m in service.hear()))
    assert service.trail("later") == []
    go.touch()
    until(lambda: service.trail("later") == ["+c1", "-c1"])
    service.send(signal.SIGTERM)
    assert service.end() == ""
    assert service.trail("later") == ["+c1", "-c1"]


def test_a_bad_configuration_is_refused_the_old_one_stays_and_it_is_said(service: Service) -> None:
    bad = InvalidConfiguration("nodeagent.toml: interval: not a number")
    service.start(Desk(apply=marking(service.directory / "trail"), later=bad))
    until(lambda: service.trail() == ["+c1", "-c1"])
    service.send(signal.SIGHUP)
    until(lambda: len(service.trail()) == 4)
    assert service.texts() == ["nodeagent.toml: interval: not a number; the configuration from before stays in force"]
    until(lambda: service.conditions() == {"Ready": "Succeeded", "Stalled": "InvalidConfiguration"})
    service.send(signal.SIGHUP)
    until(lambda: service.conditions() == {"Ready": "Succeeded"})


def test_a_configuration_that_post_sh_changed_is_taken_once_and_not_at_once(service: Service) -> None:
    touched = service.directory / "touched"

    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        touched.touch()
        return marking(service.directory / "trail")(commit, reporter, stop)

    later = Desk(apply=marking(service.directory / "later"), interval=SHORT)
    service.start(Desk(apply=apply, interval=1, touched=touched, later=later))
    until(lambda: len(service.trail("later")) >= 8)
    assert service.trail() == ["+c1", "-c1"]
    assert not any(m.startswith("RELOADING") for m in service.hear())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_nothing_is_at_work(service: Service, number: signal.Signals) -> None:
    service.start(Desk())
    until(lambda: service.conditions() == {"Ready": "Succeeded"})
    service.send(number)
    assert service.end() == ""
    assert "STOPPING=1\nSTATUS=stopping" in service.hear()


def test_at_the_end_workers_are_asked_and_come_to_their_own_end(service: Service) -> None:
    def poll(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        mark(service.directory / "began", "poll")
        stop.wait(DEADLINE)
        mark(service.directory / "ended", "poll")
        return found(commit, reporter, stop)

    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        mark(service.directory / "began", "apply")
        stop.wait(DEADLINE)
        mark(service.directory / "ended", "apply")
        return applied(commit, reporter, stop)

    service.start(Desk(poll=poll, apply=apply, interval=SHORT))
    until(lambda: sorted(service.trail("began")) == ["apply", "poll"])
    service.send(signal.SIGTERM)
    service.send(signal.SIGHUP)
    assert service.end() == ""
    assert sorted(service.trail("ended")) == ["apply", "poll"]
    assert sorted(service.trail("began")) == ["apply", "poll"]
    assert service.texts() == []


def test_workers_that_do_not_listen_are_killed_and_the_end_is_not_put_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FAREWELL", 0.1)

    def stubborn(*_: object) -> PollOutcome:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        mark(service.directory / "pids", str(os.getpid()))
        hang()
        raise AssertionError

    service.start(Desk(poll=stubborn, apply=stubborn, interval=SHORT))  # type: ignore[arg-type]
    pids = until(lambda: pids if len(pids := service.trail("pids")) == 2 else None)
    service.send(signal.SIGTERM)
    assert service.end() == ""
    until(lambda: all(gone(int(pid)) for pid in pids))


def test_the_time_for_a_farewell_fits_into_five_seconds() -> None:
    assert loop.FAREWELL + loop._LAST < 5


def test_when_the_daemon_is_killed_its_workers_die_with_it(service: Service) -> None:
    def apply(*_: object) -> ApplyOutcome:
        mark(service.directory / "pids", str(os.getpid()))
        hang()
        raise AssertionError

    service.start(Desk(apply=apply))
    (pid,) = until(lambda: service.trail("pids"))
    service.send(signal.SIGKILL)
    assert service.end() == "killed by signal 9 (Killed)"
    until(lambda: gone(int(pid)))


def test_a_daemon_that_comes_after_carries_the_status_on(service: Service) -> None:
    service.start(Desk())
    until(lambda: service.conditions() == {"Ready": "Succeeded"})
    service.send(signal.SIGKILL)
    service.end()
    service.hear()
    service.messages.clear()
    service.start(Desk(poll=hang))  # type: ignore[arg-type]
    until(lambda: any(m.startswith("READY=1\nSTATUS=c1; Ready;") for m in service.hear()))


def test_signs_of_life_are_given_only_when_asked_and_also_while_workers_hang(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.start(Desk())
    until(lambda: service.conditions() == {"Ready": "Succeeded"})
    assert "WATCHDOG=1" not in service.hear()
    service.send(signal.SIGTERM)
    assert service.end() == ""
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    service.start(Desk(poll=hang, apply=hang, interval=SHORT))  # type: ignore[arg-type]
    until(lambda: service.hear().count("WATCHDOG=1") >= 10)


def test_at_rest_it_has_no_child_no_ledger_and_no_more_descriptors_than_at_the_start(service: Service) -> None:
    service.start(Desk(apply=marking(service.directory / "trail"), interval=SHORT))
    counts = set()
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children")
    for cycles in (2, 12):
        until(lambda cycles=cycles: len(service.trail()) >= 2 * cycles)  # type: ignore[misc]
        counts.add(until(lambda: None if children.read_text() else len(os.listdir(f"/proc/{service.pid}/fd"))))
    assert len(counts) == 1


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True
