"""A stream of bytes that a forked child writes: ``with stream(export, time_limit=60) as source: ...``."""

import contextlib
import fcntl
import io
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO, cast

from nodeagent.errors import NodeagentError, WorkerFailed, by_code
from nodeagent.model.outcomes import Failure
from nodeagent.workers import child, frames

_CHUNK = 65_536
_BUFFER = 2**18  # bytes, at each end and in the pipe: many small things go in one write


@contextlib.contextmanager
def stream(job: Callable[[BinaryIO], None], *, time_limit: float, keep: Collection[int] = ()) -> Iterator[BinaryIO]:
    """Fork a child that writes a stream of bytes, and read it.

    The child stays in the caller's session: whoever ends the caller's group ends it too. It is killed when the block is
    left early. Read to the end: only then has the child said all that it has to say.

    Raises:
        WorkerFailed: the child ended badly, or took longer than ``time_limit`` seconds; or, if the job raised a
            NodeagentError, that error. When the block itself raises because the stream broke off, the child's error
            comes in its place, with the block's as its cause.
    """
    data, data_end = child.pipe()
    with contextlib.suppress(OSError):  # a user may have so much in pipes, and no more
        fcntl.fcntl(data, fcntl.F_SETPIPE_SZ, _BUFFER)
    verdict, verdict_end = child.pipe()
    try:
        process = child.fork(
            lambda: _write_out(job, data_end, verdict_end), keep=[*keep, data_end, verdict_end], session=False
        )
    except BaseException:
        os.close(data)
        os.close(verdict)
        raise
    finally:
        os.close(data_end)
        os.close(verdict_end)
    deadline = time.monotonic() + time_limit
    try:
        with io.BufferedReader(_TimedPipe(data, deadline), _BUFFER) as reader:
            try:
                yield cast(BinaryIO, reader)
                while not reader.closed and reader.read(_CHUNK):
                    pass
            except Exception as error:
                if _hung_up(data) and process.wait(deadline) and (ending := process.ending()):
                    raise _verdict(verdict, ending) from error
                raise
        if not process.wait(deadline):
            raise WorkerFailed(f"a child that had written its stream did not end within {time_limit:g} s")
        if ending := process.ending():
            raise _verdict(verdict, ending)
    finally:
        process.send(signal.SIGKILL)
        process.reap()
        os.close(verdict)


class _TimedPipe(io.RawIOBase):
    """The reading end of a pipe; a read past the deadline raises WorkerFailed."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        self._descriptor = descriptor
        self._deadline = deadline
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview[int]") -> int:  # type: ignore[override] # typeshed: Buffer
        if not self._poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise WorkerFailed("a child that writes a stream took too long")
        return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _hung_up(descriptor: int) -> bool:
    """Whether nobody writes to the pipe any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(mask & select.POLLHUP for _, mask in poll.poll(0))


def _verdict(descriptor: int, ending: str) -> NodeagentError:
    """What the child of a stream says about its bad end, as far as it can be believed."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError, ValueError):
        match frames.decode(os.read(descriptor, _CHUNK)):
            case Failure() as failure:
                return by_code(failure.code, failure.message)
            case frames.Crash() as crash:
                return WorkerFailed(f"a child that writes a stream: {crash.summary}")
            case _:
                pass
    return WorkerFailed(f"a child that writes a stream: {ending}")


def _write_out(job: Callable[[BinaryIO], None], data: int, verdict: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        with open(data, "wb", _BUFFER) as file:
            job(file)
    except BaseException as error:  # noqa: BLE001 - the very top of a process
        child.send(verdict, child.confession(error))
        os._exit(1)
