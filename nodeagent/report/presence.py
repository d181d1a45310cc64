"""Whether a daemon is there: it holds a lock on a file beside ``status.json`` for as long as it lives."""

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from nodeagent.errors import NotNow

FILE = "daemon.lock"
_FLOCK = "hhqqi"  # struct flock of fcntl(2): l_type, l_whence, l_start, l_len, l_pid


@contextlib.contextmanager
def claim(directory: Path) -> Iterator[None]:
    """Be the daemon of this directory while the block runs.

    Raises:
        NotNow: another process is.
    """
    path = directory / FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotNow(f"{path}: the daemon is at work already, as process {holder(directory)}") from error
        yield
    finally:
        os.close(descriptor)


def holder(directory: Path) -> int | None:
    """The pid of the daemon that is there, found without touching its lock; None: there is none."""
    try:
        descriptor = os.open(directory / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        question = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else pid
