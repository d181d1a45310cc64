"""The content of a source file on its way to a destination: read once when that is possible, and hashed."""

import errno
import hashlib
import os
import stat
from typing import Self

from nodeagent.apply.atomic import write_all
from nodeagent.apply.fingerprint import before_reading

_HELD = 4 * 2**20  # bytes; a larger file is not kept in memory, and read again where it is needed again
_PIECE = 2**20

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Incoming:
    """A regular source file, open; a context manager."""

    def __init__(self, name: str, *, dir_fd: int | None) -> None:
        """Open the file (never through a link in the last place).

        Raises:
            OSError: it cannot be opened or is no regular file any more.
        """
        self._fd = os.open(name, _READ, dir_fd=dir_fd)
        self.stat = os.fstat(self._fd)
        if not stat.S_ISREG(self.stat.st_mode):
            os.close(self._fd)
            raise OSError(errno.ESTALE, "No longer a regular file", name)
        self.fingerprint = before_reading(self.stat)
        self._name = name
        self._held: bytes | None = None
        self._digest = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        if not self._digest:
            if self.stat.st_size <= _HELD:
                self._hold()
            else:
                self._digest = self._pass_to(None)
        return self._digest

    def pour(self, fd: int) -> None:
        """Write the content to a descriptor.

        Raises:
            OSError: reading or writing failed, or the content is no longer what :attr:`digest` said.
        """
        if self.stat.st_size <= _HELD:
            write_all(fd, self._hold())
            return
        digest = self._pass_to(fd)
        if self._digest and digest != self._digest:
            raise OSError(errno.ESTALE, "Changed while it was copied", self._name)
        self._digest = digest

    def equals(self, fd: int) -> bool:
        """Whether an open file, read from its beginning, has the same content."""
        if self.stat.st_size <= _HELD:
            held = self._hold()
            return os.pread(fd, len(held) + 1, 0) == held
        return sha256_of(fd) == self.digest

    def _hold(self) -> bytes:
        if self._held is None:
            self._held = _read_all(self._fd, self.stat.st_size)
            self._digest = hashlib.sha256(self._held).hexdigest()
        return self._held

    def _pass_to(self, fd: int | None) -> str:
        digest = hashlib.sha256()
        offset = 0
        while piece := os.pread(self._fd, _PIECE, offset):
            digest.update(piece)
            offset += len(piece)
            if fd is not None:
                write_all(fd, piece)
        return digest.hexdigest()


def sha256_of(fd: int) -> str:
    """SHA-256 (hex) of an open file from its beginning."""
    digest = hashlib.sha256()
    offset = 0
    while piece := os.pread(fd, _PIECE, offset):
        digest.update(piece)
        offset += len(piece)
    return digest.hexdigest()


def _read_all(fd: int, expected: int) -> bytes:
    """Read to the end; ``expected`` is how many bytes there should be."""
    first = os.read(fd, expected + 1)
    if len(first) <= expected and not (rest := os.read(fd, _PIECE)):
        return first
    pieces = [first, rest] if len(first) <= expected else [first]
    while piece := os.read(fd, _PIECE):
        pieces.append(piece)
    return b"".join(pieces)
