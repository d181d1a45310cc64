"""Forked children of the warm process: start one, hear what it reports, end it.

A fork of a process that has every library loaded costs some 3 ms, an import of the libraries 300. A worker lives in a
session of its own, so that it can be ended with all that it started; it dies with its parent; it has no descriptor that
it was not given; it sends its events, and at last its result, up a pipe (:mod:`nodeagent.workers.frames`).

Nothing a worker does harms the parent: a job that raises, hangs, is killed, floods its pipe or writes garbage comes out
as a :class:`~nodeagent.model.outcomes.Failure`, and the parent keeps at most one frame of it in memory.
"""

import contextlib
import os
import select
import selectors
import signal
import time
from collections.abc import Callable, Collection

from nodeagent.errors import WorkerFailed
from nodeagent.model.events import EVENT_TYPES, Event, Reporter
from nodeagent.model.outcomes import Failure
from nodeagent.workers import child, frames
from nodeagent.workers.stop import Stop

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for a worker that has used up its time."""

_CHUNK = 65_536  # one read: what a pipe holds by default
Job = Callable[[Reporter, Stop], object]
"""What a worker does. It looks at the stop event, and comes to an end soon after it is set."""


class Worker:
    """The parent's side of a running worker. Nothing here blocks.

    Register it with a selector: it is readable whenever :meth:`advance` has something to do. Call :meth:`expire` when
    :attr:`deadline` has come.
    """

    def __init__(
        self, name: str, process: child.Child, pipe: int, time_limit: float, kinds: tuple[type[Event], ...]
    ) -> None:
        self.name = name
        self.pid = process.pid
        self.deadline = time.monotonic() + time_limit
        """When :meth:`expire` wants to be called, by the monotonic clock."""
        self.done = False
        self.outcome: object = None
        """When done: what the job returned, or a :class:`~nodeagent.model.outcomes.Failure`."""
        self.traceback = ""
        """When done, and the job raised: Python's own text."""
        self._process = process
        self._pipe = pipe
        self._time_limit = time_limit
        self._kinds = kinds
        self._overdue = False
        self._terminated = False
        self._fault = ""  # how the worker broke the protocol
        self._result: object = None
        self._rest = b""  # the beginning of a frame that has not come whole yet
        self._poll = select.epoll()
        self._poll.register(pipe, select.EPOLLIN)
        self._poll.register(process.pidfd, select.EPOLLIN)

    def fileno(self) -> int:
        return self._poll.fileno()

    def advance(self) -> list[Event]:
        """Take what has come up the pipe, at most 64 KiB of it, and notice the worker's end."""
        if self.done:
            return []
        ready = {descriptor for descriptor, _ in self._poll.poll(0)}
        events: list[Event] = []
        if self._pipe in ready:
            chunk = os.read(self._pipe, _CHUNK)
            if not chunk:
                self._poll.unregister(self._pipe)
            events += self._take(chunk)
        if self._process.pidfd in ready:
            events += self._finish()
        return events

    def expire(self) -> None:
        """The deadline has come: ask the worker to end, and kill it the next time."""
        if self._terminated:
            self._process.kill()
            self.deadline = float("inf")
        else:
            self._overdue = True
            self.stop(GRACE)

    def stop(self, grace: float) -> None:
        """Ask the worker to end; kill it, and all that it started, so many seconds later."""
        end = time.monotonic() + grace
        self.deadline = min(self.deadline, end) if self._terminated else end
        self._terminated = True
        self._process.send(signal.SIGTERM)

    def _take(self, chunk: bytes) -> list[Event]:
        """The events of all frames that are whole now; the result is kept."""
        events: list[Event] = []
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for frame in whole:
            if not self._fault:
                events += self._read(frame)
        if len(self._rest) > frames.LIMIT:
            self._break_off(f"sent a frame of more than {frames.LIMIT} bytes")
        if self._fault:
            self._rest = b""
        return events

    def _read(self, frame: bytes) -> list[Event]:
        try:
            value = frames.decode(frame)
        except ValueError:
            self._break_off("sent what is no frame")
            return []
        if isinstance(value, self._kinds):
            return [value]
        if isinstance(value, EVENT_TYPES):
            self._break_off(f"sent a {type(value).__name__}, which is not its to say")
            return []
        self._result = value
        return []

    def _break_off(self, fault: str) -> None:
        self._fault = fault
        self._process.kill()

    def _finish(self) -> list[Event]:
        """The process has ended: read what the pipe still holds, judge, clean up."""
        events: list[Event] = []
        os.set_blocking(self._pipe, False)
        with contextlib.suppress(BlockingIOError):
            # Bounded: a grandchild that kept the pipe open and writes on would hold us here.
            for _ in range(2 * frames.LIMIT // _CHUNK):
                if not (chunk := os.read(self._pipe, _CHUNK)):
                    break
                events += self._take(chunk)
        ending = self._process.ending()
        self.outcome = self._judge(ending)
        if ending or self._fault or self.traceback:
            self._process.kill_session()  # what a worker without a result leaves behind has nobody to mind it
        self._process.reap()
        self._poll.close()
        os.close(self._pipe)
        self.done = True
        return events

    def _judge(self, ending: str) -> object:
        if self._overdue and ending:
            return _failed(f"{self.name} worker: ended at its time limit of {self._time_limit:g} s ({ending})")
        if self._fault:
            return _failed(f"{self.name} worker: {self._fault}; this is a fault of nodeagent's own")
        match self._result:
            case frames.Crash() as crash:
                self.traceback = crash.traceback
                return _failed(f"{self.name} worker: {crash.summary}; this is a fault of nodeagent's own")
            case Failure() as failure:
                return failure
            case result if result is not None and not ending:
                return result
        return _failed(f"{self.name} worker: {ending or 'ended without a result'}")


def start(
    name: str,
    job: Job,
    *,
    time_limit: float,
    keep: Collection[int] = (),
    kinds: tuple[type[Event], ...] = EVENT_TYPES,
) -> Worker:
    """Fork a worker that does the job.

    Args:
        name: for messages: what the worker is for.
        job: is called in the child and returns a value that :mod:`nodeagent.workers.frames` knows. A
            :class:`~nodeagent.errors.NodeagentError` that it raises arrives as a Failure of the same code.
        time_limit: seconds.
        keep: descriptors that the child keeps beside 1, 2 and its pipe; 0 becomes ``/dev/null``.
        kinds: the events that it may report; another one is a breach of the protocol.

    Raises:
        WorkerFailed: the system has no process or descriptor left to give.
    """
    receiver, sender = child.pipe()
    try:
        process = child.fork(lambda: _work(job, sender), keep=[*keep, sender], session=True)
    except BaseException:
        os.close(receiver)
        raise
    finally:
        os.close(sender)
    return Worker(name, process, receiver, time_limit, kinds)


def run(
    name: str,
    job: Job,
    reporter: Reporter,
    *,
    time_limit: float,
    keep: Collection[int] = (),
    kinds: tuple[type[Event], ...] = EVENT_TYPES,
) -> object:
    """:func:`start` a worker and wait for it: for a command line, which has nothing else to do.

    Returns:
        What the job returned, or a :class:`~nodeagent.model.outcomes.Failure`.

    An exception while waiting (Ctrl-C) stops the worker in its own way first.
    """
    worker = start(name, job, time_limit=time_limit, keep=keep, kinds=kinds)
    try:
        _attend(worker, reporter)
    except BaseException:
        worker.stop(GRACE)
        _attend(worker, reporter)
        raise
    return worker.outcome


def _attend(worker: Worker, reporter: Reporter) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(worker, selectors.EVENT_READ)
        while not worker.done:
            selector.select(max(0.0, worker.deadline - time.monotonic()) if worker.deadline != float("inf") else None)
            if time.monotonic() >= worker.deadline:
                worker.expire()
            for event in worker.advance():
                reporter.report(event)


def _failed(message: str) -> Failure:
    return Failure(code=WorkerFailed.code, message=message, transient=True)


class _PipeReporter:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def report(self, event: Event) -> None:
        child.send(self._descriptor, event)


def _work(job: Job, descriptor: int) -> None:
    """The whole life of a worker."""
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        child.send(descriptor, job(_PipeReporter(descriptor), stop))
    except BaseException as error:  # noqa: BLE001 - the very top of a process: it tells its parent, then ends
        child.send(descriptor, child.confession(error))
