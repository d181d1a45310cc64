"""Making the content of files last: on disk before they get the names under which they are to be found."""

import ctypes
import errno
import functools
import os
import re

_FIRST_THAT_TELLS = (5, 8)  # of Linux: before it, syncfs(2) returned 0 although writing had failed
_WRITE = 2  # SYNC_FILE_RANGE_WRITE, see sync_file_range(2)

OTHERS = 64 * 2**20
"""So many bytes of others are waited for: a slow disk writes them in a second."""

_libc = ctypes.CDLL(None, use_errno=True)


def much_waits(*, ours: int) -> bool:
    """Whether others have left much to be written, to whatever disk; ``ours`` are the bytes of the caller's own.

    Waiting for all of a filesystem, as :func:`sync_filesystem` does, would then take as long as they please.
    """
    with open("/proc/meminfo", "rb") as file:
        found = dict(line.split(b":", 1) for line in file)
    waiting = sum(int(found[name].split()[0]) * 1024 for name in (b"Dirty", b"Writeback"))
    return waiting - ours > OTHERS


def begin_to_write(fd: int) -> None:
    """Have an open file written out, without waiting: a later ``fsync`` has less to do, and many of them share it."""
    _libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE)  # if it is refused, fsync will say why


def sync_filesystem(fd: int) -> None:
    """Write out all that waits to be written to the filesystem of an open file.

    On tmpfs and ramfs, and on an overlay whose upper layer is volatile or on one of these, the kernel has nothing to
    do.

    Raises:
        OSError: some of it, ours or not, could not be written; ENOSYS: this system would not tell.
    """
    if not _tells():
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def _tells() -> bool:
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is not None and tuple(map(int, release.groups())) >= _FIRST_THAT_TELLS and hasattr(_libc, "syncfs")
