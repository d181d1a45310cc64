"""An event that a signal handler may set."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator

_SLICE = 1.0
"""Seconds of one wait. A signal that comes when Python has looked for one, and does not wait yet, is heard after it."""


class Stop(threading.Event):
    """An event that a signal handler may set, and that can be polled beside other descriptors.

    The one of :mod:`threading` takes a lock which the interrupted code may hold: set from a handler while its own
    thread is on the way into ``wait``, it locks itself out for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Readable from the moment the event is set."""
        return self._descriptor

    def is_set(self) -> bool:
        return self.wait(0)

    def set(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the event is set, at the latest after so many seconds."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while not poll.poll(min(max(0.0, end - time.monotonic()), _SLICE) * 1000):
            if time.monotonic() >= end:
                return False
        return True

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # bound early: os may be gone at the very end
        close(self._descriptor)


@contextlib.contextmanager
def on_signals(*numbers: signal.Signals) -> Iterator[Stop]:
    """A stop that the given signals set, as long as the block runs; SIGINT and SIGTERM unless said otherwise."""
    stop = Stop()
    before = {n: signal.signal(n, lambda *_: stop.set()) for n in numbers or (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
