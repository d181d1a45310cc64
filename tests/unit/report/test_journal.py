"""A real socket in journald's place, in a mount namespace of its own."""

import contextlib
import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from nodeagent.errors import WorkerFailed
from nodeagent.model.evaluation import Change, Phase, Step
from nodeagent.model.events import Event, Notice, Reporter, StepEnded
from nodeagent.model.outcomes import PollOutcome
from nodeagent.report import catalogue
from nodeagent.report.journal import JournalReporter, open_reporter
from nodeagent.report.journald import SOCKET, Journald
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop

CLONE_NEWNS, MS_PRIVATE_REC = 0x20000, 0x44000  # <sched.h>, <sys/mount.h>

STEP = StepEnded(
    number=2,
    step=Step(
        file="post.sh", line=7, phase=Phase.COPY, change=Change.CREATED, path=os.fsdecode(b"/etc/\xff"), duration_usec=3
    ),
    announce=True,
)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


def in_a_place_of_its_own(job: worker.Job) -> list[Event]:
    """Run the job in a child whose ``/run`` is empty, and give its notices."""

    def confined(reporter: Reporter, stop: Stop) -> object:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_PRIVATE_REC, None):
            raise WorkerFailed("no namespace")
        assert libc.mount(b"none", b"/run", b"tmpfs", 0, None) == 0
        job(reporter, stop)
        return PollOutcome(commit="", moved=False)

    recorder = Recorder()
    outcome = worker.run("test", confined, recorder, time_limit=30)
    assert outcome == PollOutcome(commit="", moved=False)
    return recorder.events


def parse(datagram: bytes) -> dict[str, bytes]:
    """The fields of one datagram of journald's native protocol."""
    fields = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if equals:
            datagram = rest
        else:
            (length,) = struct.unpack_from("<Q", rest)
            value, datagram = rest[8 : 8 + length], rest[8 + length + 1 :]
        fields[name.decode()] = value
    return fields


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_an_entry_arrives_with_its_text_fields_and_message_id() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        SOCKET.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(str(SOCKET))
            journald.settimeout(10)
            subject = open_reporter()
            assert isinstance(subject, JournalReporter)
            subject.report(STEP)
            assert parse(journald.recv(65_536)) == {
                "MESSAGE": b"COPY /etc/\xff: created",
                "MESSAGE_ID": catalogue.DESTINATION_CHANGED.encode(),
                "PRIORITY": b"6",
                "SYSLOG_IDENTIFIER": b"postscripts",
                "NODEAGENT_STEP": b"2",
                "NODEAGENT_FILE": b"post.sh",
                "NODEAGENT_LINE": b"7",
                "NODEAGENT_PHASE": b"COPY",
                "NODEAGENT_CHANGE": b"created",
                "NODEAGENT_PATH": b"/etc/\xff",
                "DURATION_USEC": b"3",
            }
            subject.report(Notice(priority=3, text="two\nlines\0and more"))
            fields = parse(journald.recv(65_536))
            assert fields["MESSAGE"] == b"two\nlines\0and more"
            assert fields["SYSLOG_IDENTIFIER"] == b"nodeagent"
        return None

    in_a_place_of_its_own(job)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_a_journal_that_is_gone_costs_lines_and_nothing_else() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        subject = JournalReporter()
        subject.report(STEP)  # no such file
        SOCKET.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(str(SOCKET))
        subject.report(STEP)  # connection refused
        SOCKET.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(str(SOCKET))
            subject.catch_up()
            (told,) = texts(journald)
            assert told.startswith(b"2 lines of this log are lost")
        return None

    in_a_place_of_its_own(job)


def texts(journald: socket.socket) -> list[bytes]:
    """What waits in a journald that did not read."""
    journald.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(parse(journald.recv(65_536))["MESSAGE"])
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_a_journald_that_reads_no_more_is_waited_for_once_and_the_loss_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Journald.__init__, "__defaults__", (0.2,))

    def job(_reporter: Reporter, _stop: Stop) -> object:
        SOCKET.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(str(SOCKET))
            subject = JournalReporter()
            for number in range(2000):  # more than any queue holds
                subject.report(Notice(priority=5, text=f"line {number}"))
            taken = texts(journald)
            assert taken == [b"line %d" % n for n in range(len(taken))]
            lost = 2000 - len(taken)
            assert lost > 0
            subject.catch_up()
            subject.catch_up()
            subject.report(Notice(priority=5, text="and on"))
            told, last = texts(journald)
            assert told.startswith(b"%d lines of this log are lost: journald took none since " % lost)
            assert last == b"and on"
        return None

    in_a_place_of_its_own(job)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_a_journald_that_is_only_slow_gets_every_line() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        SOCKET.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(str(SOCKET))
            if os.fork() == 0:
                subject = JournalReporter()
                for number in range(3000):
                    subject.report(Notice(priority=5, text=f"line {number}"))
                os._exit(0)
            journald.settimeout(10)
            for number in range(3000):
                assert parse(journald.recv(65_536))["MESSAGE"] == b"line %d" % number
            assert os.wait()[1] == 0
        return None

    in_a_place_of_its_own(job)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")
def test_without_a_journal_reports_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - pytest's own is closed in a worker
        open_reporter().report(Notice(priority=3, text="to whom it may concern"))
        return None

    in_a_place_of_its_own(job)
    assert "nodeagent: to whom it may concern" in capfd.readouterr().err


def test_message_ids_differ() -> None:
    ids = [v for k, v in vars(catalogue).items() if k.isupper()]
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(i)) == 16 for i in ids)


def test_the_path_is_the_one_of_systemd() -> None:
    assert Path("/run/systemd/journal/socket") == SOCKET
