"""Making the content of files last: on disk before they get the names under which they are to be found."""

import ctypes
import errno
import functools
import os
import re

_FIRST_THAT_TELLS = (5, 8)  # of Linux: before it, syncfs(2) returned 0 although writing had failed
_libc = ctypes.CDLL(None, use_errno=True)


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
