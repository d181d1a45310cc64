"""Real forked children; nothing here sleeps for longer than it must."""

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.errors import HostKeyMismatch, RemoteUnreachable
from nodeagent.model.events import Event, Notice, Reporter, StepOutput
from nodeagent.model.outcomes import Failure, PollOutcome
from nodeagent.workers import child, frames, worker
from nodeagent.workers.stop import Stop

FOUND = PollOutcome(commit="c" * 40, moved=True)
DEADLINE = 20.0


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


def attend(subject: worker.Worker, until: Callable[[list[Event]], object] = lambda _: False) -> list[Event]:
    """Serve the worker as a loop would, to its end or until the condition holds."""
    events: list[Event] = []
    give_up = time.monotonic() + DEADLINE
    while not subject.done and not until(events):
        assert time.monotonic() < give_up, "the worker does not end"
        select.select([subject], [], [], max(0, min(subject.deadline - time.monotonic(), 1)))
        if time.monotonic() >= subject.deadline:
            subject.expire()
        events += subject.advance()
    return events


def outcome(job: worker.Job, *, time_limit: float = DEADLINE) -> object:
    return worker.run("test", job, Recorder(), time_limit=time_limit)


def failure(job: worker.Job, *, time_limit: float = DEADLINE) -> str:
    """The message of a job that must come out as WorkerFailed."""
    result = outcome(job, time_limit=time_limit)
    assert isinstance(result, Failure)
    assert (result.code, result.transient) == ("WorkerFailed", True)
    return result.message


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie has, too: who reaps an orphan here is not ours to know)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up
        select.select([], [], [], 0.005)


def hang(_reporter: Reporter, _stop: Stop) -> object:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before
    with contextlib.suppress(ChildProcessError):
        assert os.waitpid(-1, os.WNOHANG) == (0, 0), "a zombie is left"


def test_the_events_of_a_job_arrive_in_order_and_then_its_result() -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        for number in range(3):
            reporter.report(StepOutput(number=number, text="a\nb\udcff"))
        return FOUND

    recorder = Recorder()
    assert worker.run("test", job, recorder, time_limit=DEADLINE) == FOUND
    assert recorder.events == [StepOutput(number=n, text="a\nb\udcff") for n in range(3)]


def test_more_events_than_a_pipe_holds_all_arrive() -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        for number in range(5_000):
            reporter.report(StepOutput(number=number, text="x" * 50))
        return FOUND

    recorder = Recorder()
    assert worker.run("test", job, recorder, time_limit=DEADLINE) == FOUND
    assert [e.number for e in recorder.events if isinstance(e, StepOutput)] == list(range(5_000))


def test_one_turn_takes_no_more_than_a_pipe_holds_however_fast_a_worker_writes() -> None:
    def job(reporter: Reporter, stop: Stop) -> object:
        while not stop.is_set():
            reporter.report(StepOutput(number=0, text="y"))
        return FOUND

    subject = worker.start("test", job, time_limit=DEADLINE)
    wait_until(lambda: bool(select.select([subject], [], [], 0)[0]))
    for _ in range(20):
        select.select([subject], [], [])
        assert len(subject.advance()) <= 65_536 // len(frames.encode(StepOutput(number=0, text="y"))) + 1
    subject.stop(DEADLINE)
    attend(subject)
    assert subject.outcome == FOUND


@pytest.mark.parametrize(("error", "transient"), [(HostKeyMismatch("mine"), False), (RemoteUnreachable("mine"), True)])
def test_an_expected_error_crosses_with_its_code_and_disposition(error: Exception, transient: bool) -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        raise error

    assert outcome(job) == Failure(code=type(error).__name__, message="mine", transient=transient)


def test_a_bug_in_a_job_is_reported_with_its_last_line_and_keeps_its_traceback() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        raise KeyError("the bug")

    subject = worker.start("poll", job, time_limit=DEADLINE)
    attend(subject)
    assert isinstance(subject.outcome, Failure)
    assert subject.outcome.code == "WorkerFailed"
    assert subject.outcome.message.startswith("poll worker: KeyError: 'the bug';")
    assert subject.traceback.startswith("Traceback (most recent call last):")


def test_a_result_of_a_class_that_may_not_cross_is_a_bug_of_the_job() -> None:
    assert "TypeError" in failure(lambda _r, _s: object())
    assert "TypeError" in failure(lambda _r, _s: None)


def test_exit_from_the_middle_of_a_job_is_a_bug_of_the_job() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        raise SystemExit(0)

    assert "SystemExit" in failure(job)


def test_a_process_that_vanishes_without_a_word_is_reported() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        os._exit(0)

    assert failure(job) == "test worker: ended without a result"


def test_a_process_that_exits_by_itself_is_reported_with_its_code() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        os._exit(7)

    assert failure(job) == "test worker: exited with code 7"


def test_a_killed_worker_is_reported_with_its_signal() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        os.kill(os.getpid(), signal.SIGKILL)
        return FOUND

    assert failure(job) == "test worker: killed by signal 9 (Killed)"


def test_a_worker_that_is_told_to_stop_ends_in_its_own_way() -> None:
    def job(reporter: Reporter, stop: Stop) -> object:
        reporter.report(Notice(priority=6, text="at work"))
        assert stop.wait(DEADLINE)
        return FOUND

    subject = worker.start("test", job, time_limit=DEADLINE)
    attend(subject, until=bool)
    subject.stop(DEADLINE)
    attend(subject)
    assert subject.outcome == FOUND


def test_a_stop_right_after_the_start_is_not_lost_and_does_not_reach_the_parent() -> None:
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    os.set_blocking(receiver, False)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    old = signal.set_wakeup_fd(sender)
    try:
        for _ in range(20):
            subject = worker.start("test", lambda _r, stop: stop.wait(DEADLINE) and FOUND, time_limit=DEADLINE)
            subject.stop(DEADLINE)
            attend(subject)
            assert subject.outcome == FOUND
        with pytest.raises(BlockingIOError):
            os.read(receiver, 1)
    finally:
        signal.set_wakeup_fd(old)
        signal.signal(signal.SIGTERM, before)
        os.close(receiver)
        os.close(sender)


def test_a_worker_that_does_not_stop_is_killed_after_its_grace() -> None:
    subject = worker.start("test", hang, time_limit=DEADLINE)
    wait_until(lambda: _ignores_term(subject.pid))
    subject.stop(0.01)
    attend(subject)
    assert isinstance(subject.outcome, Failure)
    assert "killed by signal 9" in subject.outcome.message


def _ignores_term(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    return bool(ignored & 1 << (signal.SIGTERM - 1))


def test_a_second_stop_never_puts_the_end_off() -> None:
    subject = worker.start("test", hang, time_limit=DEADLINE)
    subject.stop(0.01)
    subject.stop(DEADLINE)
    assert subject.deadline < time.monotonic() + 1
    attend(subject)


def test_a_hung_worker_is_ended_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.05)
    message = failure(hang, time_limit=0.05)
    assert message.startswith("test worker: ended at its time limit of 0.05 s (killed by signal 9")


def test_a_worker_that_heeds_its_time_limit_may_still_say_how_far_it_came() -> None:
    assert outcome(lambda _r, stop: stop.wait(DEADLINE) and FOUND, time_limit=0.05) == FOUND


@pytest.mark.parametrize("group", [{}, {"setpgroup": 0}])
def test_what_a_killed_worker_started_is_killed_with_it(monkeypatch: pytest.MonkeyPatch, group: dict[str, int]) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.05)

    def job(reporter: Reporter, stop: Stop) -> object:
        pid = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ, **group)
        reporter.report(StepOutput(number=pid, text=""))
        return hang(reporter, stop)

    recorder = Recorder()
    worker.run("test", job, recorder, time_limit=0.3)
    (started,) = recorder.events
    assert isinstance(started, StepOutput)
    wait_until(lambda: gone(started.number))


def test_what_a_worker_left_running_on_purpose_goes_on() -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        reporter.report(StepOutput(number=os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000"), text=""))
        return FOUND

    recorder = Recorder()
    assert worker.run("test", job, recorder, time_limit=DEADLINE) == FOUND
    (started,) = recorder.events
    assert isinstance(started, StepOutput)
    assert not gone(started.number)
    os.kill(started.number, signal.SIGKILL)


def test_a_child_left_running_with_the_pipe_open_does_not_hold_up_the_end() -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        if (pid := os.fork()) == 0:
            signal.pause()
        reporter.report(StepOutput(number=pid, text=""))
        return FOUND

    recorder = Recorder()
    assert worker.run("test", job, recorder, time_limit=DEADLINE) == FOUND
    (started,) = recorder.events
    assert isinstance(started, StepOutput)
    os.kill(started.number, signal.SIGKILL)


@pytest.mark.parametrize("garbage", [b"garbage\n", b'{"kind":"Notice","value":{}}\n', b"\xff\xfe\n", b"\n"])
def test_a_worker_that_writes_garbage_is_killed(garbage: bytes) -> None:
    def job(reporter: Reporter, stop: Stop) -> object:
        os.write(_pipe_of(), garbage)
        return hang(reporter, stop)

    assert failure(job) == "test worker: sent what is no frame; this is a fault of nodeagent's own"


def test_a_frame_without_end_costs_the_parent_no_more_than_its_limit() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        while True:
            os.write(_pipe_of(), b"x" * 65_536)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert failure(job).startswith(f"test worker: sent a frame of more than {frames.LIMIT} bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * frames.LIMIT // 1024


def _pipe_of() -> int:
    """In a worker: its pipe, the only one that it has."""
    (pipe,) = (fd for fd in range(3, 64) if _link(fd).startswith("pipe:"))
    return pipe


def _link(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


def test_a_worker_has_only_the_descriptors_that_it_was_given(tmp_path: Path) -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        links = {str(fd): _link(fd) for fd in range(3, 1024) if _link(fd)}
        reporter.report(Notice(priority=6, text=" ".join(sorted(links.values())), path=_link(0)))
        return FOUND

    with (tmp_path / "given").open("w") as given, (tmp_path / "other").open("w"):
        os.set_inheritable(given.fileno(), True)
        recorder = Recorder()
        worker.run("test", job, recorder, time_limit=DEADLINE, keep=[given.fileno()])
    (event,) = recorder.events
    assert isinstance(event, Notice)
    kinds = [link.split(":")[0] for link in event.text.split()]
    assert sorted(kinds) == [str(tmp_path / "given"), "anon_inode", "pipe"]  # the eventfd of its stop, and its pipe
    assert event.path == "/dev/null"


def test_a_worker_leads_a_session_with_nothing_blocked_and_python_s_own_dispositions() -> None:
    def job(reporter: Reporter, _stop: Stop) -> object:
        status = Path("/proc/self/status").read_text()
        masks = {key: int(status.split(f"{key}:")[1].split()[0], 16) for key in ("SigBlk", "SigIgn", "SigCgt")}
        assert os.getsid(0) == os.getpid()
        assert masks["SigBlk"] == 0
        assert masks["SigIgn"] & _RESETTABLE & ~(_bit(signal.SIGPIPE) | _bit(signal.SIGXFSZ)) == 0
        assert masks["SigCgt"] & (_bit(signal.SIGUSR1) | _bit(signal.SIGHUP) | _bit(signal.SIGINT)) == 0
        assert masks["SigCgt"] & _bit(signal.SIGTERM)
        return FOUND

    before = signal.signal(signal.SIGUSR1, lambda *_: None), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert outcome(job) == FOUND
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGHUP, before[1])


_RESETTABLE = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps two for itself


def _bit(number: signal.Signals) -> int:
    return 1 << (number - 1)


def test_a_worker_dies_with_its_parent() -> None:
    def parent(reporter: Reporter, stop: Stop) -> object:
        inner = worker.start("inner", hang, time_limit=DEADLINE)
        reporter.report(StepOutput(number=inner.pid, text=""))
        return hang(reporter, stop)

    subject = worker.start("outer", parent, time_limit=DEADLINE)
    (event,) = attend(subject, until=bool)
    assert isinstance(event, StepOutput)
    os.kill(subject.pid, signal.SIGKILL)
    attend(subject)
    wait_until(lambda: gone(event.number))


def test_who_asks_too_late_to_die_with_its_parent_dies_at_once() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        child.die_with_parent(1)
        return FOUND

    assert failure(job) == "test worker: killed by signal 9 (Killed)"


def test_no_process_left_to_fork_is_reported_as_a_failed_worker() -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        os.setresuid(64_999, 64_999, 64_999)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        worker.start("inner", hang, time_limit=1)
        return FOUND

    assert failure(job) == "no process for a worker: Resource temporarily unavailable"


@pytest.mark.parametrize("spare", range(3))
def test_no_descriptor_left_is_reported_as_a_failed_worker_and_leaves_nothing(spare: int) -> None:
    def job(_reporter: Reporter, _stop: Stop) -> object:
        before = sorted(os.listdir("/proc/self/fd"))
        top = max(fd for fd in range(64) if _link(fd))
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1 + spare, 64))
        held = [os.dup(2) for fd in range(top) if not _link(fd)]  # no holes below
        try:
            worker.start("inner", hang, time_limit=1)
        finally:
            for fd in held:
                os.close(fd)
            assert sorted(os.listdir("/proc/self/fd")) == before
            with pytest.raises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
        return FOUND

    result = outcome(job)
    assert isinstance(result, Failure)
    assert result.code == "WorkerFailed"
    assert result.message.endswith("for a worker: Too many open files")


def test_an_exception_while_waiting_ends_the_worker_first() -> None:
    class Interrupted(Recorder):
        def report(self, event: Event) -> None:
            if not self.events:
                super().report(event)
                raise KeyboardInterrupt
            super().report(event)

    def job(reporter: Reporter, stop: Stop) -> object:
        reporter.report(Notice(priority=6, text="begin"))
        assert stop.wait(DEADLINE)
        reporter.report(Notice(priority=6, text="end"))
        return FOUND

    recorder = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        worker.run("test", job, recorder, time_limit=DEADLINE)
    assert [e.text for e in recorder.events if isinstance(e, Notice)] == ["begin", "end"]


def test_advance_after_the_end_has_nothing_to_say() -> None:
    subject = worker.start("test", lambda _r, _s: FOUND, time_limit=DEADLINE)
    attend(subject)
    assert subject.advance() == []


def test_an_event_of_a_kind_that_is_not_the_worker_s_to_report_ends_it() -> None:
    def job(reporter: Reporter, stop: Stop) -> PollOutcome:
        reporter.report(Notice(priority=6, text="one"))
        reporter.report(StepOutput(number=1, text="all is well"))
        stop.wait(30)
        return FOUND

    subject = worker.start("test", job, time_limit=DEADLINE, kinds=(Notice,))
    events = attend(subject)
    assert events == [Notice(priority=6, text="one")]
    assert isinstance(subject.outcome, Failure)
    assert "sent a StepOutput, which is not its to say" in subject.outcome.message
