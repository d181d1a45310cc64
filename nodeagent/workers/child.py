"""A forked child: how it is made, what it is rid of, how it ends.

It dies with its parent, has no descriptor that it was not given, no handler or blocked signal of its parent's, and
nothing to read on stdin.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection
from typing import NoReturn

from nodeagent.errors import NodeagentError, TransientError, WorkerFailed
from nodeagent.model.outcomes import Failure
from nodeagent.workers import frames

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_RESETTABLE = frozenset(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
"""What a child gets the default of. Python ignores the last two: a peer that hangs up is an error, not an end."""
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process (SIGKILL) when its parent, of the given pid, is gone.

    The kernel forgets it when the process changes its user: who gives up root calls this again afterwards.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def allow_no_core() -> None:
    """Have no core made of this process and what it becomes or starts.

    By a limit of 1 byte: with 0, a kernel whose ``core_pattern`` is a program hands it the core all the same.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


class Child:
    """A forked child that has not been reaped: its pid, and the group of that number, cannot be anybody else's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and waits to be reaped
            signal.pidfd_send_signal(self.pidfd, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)  # it may not have come as far as its own session
        self.kill_session()

    def kill_session(self) -> None:
        """Kill what is left in the child's session, group by group; nothing, if it made none."""
        for group in _groups_of(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def wait(self, deadline: float) -> bool:
        """Whether it has ended; block until then, at most to the deadline."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(None if deadline == float("inf") else max(0.0, deadline - time.monotonic()) * 1000))

    def ending(self) -> str:
        """How the ended child came to its end; empty if it exited with 0."""
        state = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        assert state is not None  # only WNOHANG makes it so
        if state.si_code == os.CLD_EXITED:
            return f"exited with code {state.si_status}" if state.si_status else ""
        return f"killed by signal {state.si_status} ({signal.strsignal(state.si_status)})"

    def reap(self) -> None:
        """Wait for the end, and let go."""
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)


def _groups_of(session: int) -> set[int]:
    """The process groups of a session."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            _state, _parent, group, leader = file.read().rpartition(b")")[2].split(maxsplit=4)[:4]
            if int(leader) == session:
                found.add(int(group))
    return found


def pipe() -> tuple[int, int]:
    try:
        return os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        raise WorkerFailed(f"no pipe for a worker: {error.strerror}") from error


def fork(main: Callable[[], None], *, keep: Collection[int], session: bool) -> Child:
    """Fork a child that calls ``main`` and exits with 0, or with 1 if that raised.

    No signal that the parent handles gets through before the child has put away the parent's handlers: else one that is
    meant for the child would land in the pipe by which the parent wakes itself. It is ``main`` that unblocks them, and
    SIGTERM, when it is prepared.
    """
    _flush()  # what stays in a buffer would be written twice
    parent = os.getpid()
    handled = [n for n in _RESETTABLE if signal.getsignal(n) is not signal.SIG_DFL]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*handled, signal.SIGTERM})
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(main, parent, keep, handled, session=session)
    except OSError as error:
        raise WorkerFailed(f"no process for a worker: {error.strerror}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        return Child(pid)
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise WorkerFailed(f"no descriptor for a worker: {error.strerror}") from error


def _be_child(
    main: Callable[[], None], parent: int, keep: Collection[int], handled: Collection[int], *, session: bool
) -> NoReturn:
    try:
        die_with_parent(parent)
        if session:
            os.setsid()
        _close_all_but({0, 1, 2, *keep})
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.close(null)
        signal.set_wakeup_fd(-1)
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        main()
        _flush()
    except BaseException:  # noqa: BLE001 - the very top of a process
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        os._exit(1)
    os._exit(0)


def _flush() -> None:
    for file in (sys.stdout, sys.stderr):
        if file is not None:  # started with the descriptor closed
            file.flush()


def _close_all_but(keep: set[int]) -> None:
    low = 0
    for descriptor in sorted(keep):
        if low < descriptor:  # an empty range at 0 closes everything: CPython hands -1 to close_range(2)
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 2**31 - 1)


def send(descriptor: int, value: object) -> None:
    """Write one frame, whole.

    Raises:
        TypeError, ValueError: as :func:`nodeagent.frames.encode`.
    """
    frame = memoryview(frames.encode(value))
    while frame:
        frame = frame[os.write(descriptor, frame) :]


def confession(error: BaseException) -> Failure | frames.Crash:
    """What a child says of the exception that ended its job."""
    if isinstance(error, NodeagentError):
        return Failure(code=error.code, message=str(error), transient=isinstance(error, TransientError))
    return frames.Crash(traceback="".join(traceback.format_exception(error))[-frames.LIMIT // 16 :])
