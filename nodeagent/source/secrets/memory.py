"""Secrets in memory: overwritten once they were used, and in no core dump.

Python copies what is immutable (``bytes``, ``str``) as it likes and overwrites none of it. A password is therefore read
into one buffer, handed on as a view of that, and the buffer is overwritten. Where a copy cannot be helped, the process
that has it is a worker that soon ends.
"""

import ctypes
import os
from typing import Self

from nodeagent.workers.child import allow_no_core

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def keep_out_of_cores() -> None:
    """Have no core made of this process, and no process of its user look into it."""
    if _libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
    allow_no_core()


class Secret:
    """Bytes that show nothing of themselves, and are overwritten at the end of a ``with`` block."""

    __slots__ = ("_buffer", "_length")

    def __init__(self, buffer: bytearray, length: int | None = None) -> None:
        """Take the buffer over: its first ``length`` bytes are the secret, and all of it will be overwritten."""
        self._buffer = buffer
        self._length = len(buffer) if length is None else length

    @classmethod
    def read(cls, descriptor: int, most: int) -> Self:
        """Read up to so many bytes, to the end or as much as there is."""
        found = cls(bytearray(most), 0)
        while found.take(descriptor):
            pass
        return found

    @classmethod
    def read_line(cls, descriptor: int, most: int) -> Self:
        """As :meth:`read`, and no further than to the end of the first line: what follows is left for others."""
        found = cls(bytearray(most), 0)
        while found.take(descriptor, 1) and found.view[-1] != ord("\n"):
            pass
        return found

    def take(self, descriptor: int, most: int | None = None) -> int:
        """Read more into the room that is left; how many bytes came: 0 at the end, and when there is no more room."""
        end = None if most is None else self._length + most
        with memoryview(self._buffer) as whole, whole[self._length : end] as room:
            count = os.readv(descriptor, [room]) if room else 0
        self._length += count
        return count

    @property
    def view(self) -> memoryview:
        """The secret itself, not a copy."""
        return memoryview(self._buffer)[: self._length]

    def cut(self, length: int) -> None:
        """Only so many bytes of it are the secret; the others are overwritten."""
        self._buffer[length:] = bytes(len(self._buffer) - length)
        self._length = length

    def wipe(self) -> None:
        """Overwrite it; what is left is empty."""
        self.cut(0)

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "Secret(...)"
