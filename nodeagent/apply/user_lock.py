"""The lock under which programs change the user database: lckpwdf(3), as passwd(1), useradd(8) and PAM take it.

glibc's ``lckpwdf`` is a POSIX lock on ``/etc/.pwd.lock``, waited for no longer than 15 s. Here it is the file of that
name beside the destination, which is the same for ``/etc``, and right for a root below another directory.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

from nodeagent.apply.paths import Directory

NAME = ".pwd.lock"
PATIENCE = 15.0  # seconds, as glibc's
_PAUSE = 0.05
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def locked(directory: Directory, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of the user database in a directory.

    Raises:
        OSError: another program holds it for longer than ``patience`` seconds, or it cannot be opened.
    """
    descriptor = os.open(NAME, _OPEN, 0o600, dir_fd=directory.fd)
    try:
        _lock(descriptor, directory.child(NAME), time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str, deadline: float) -> None:
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # POSIX allows both
            if time.monotonic() >= deadline:
                raise OSError(errno.EAGAIN, "Another program is changing the users", path) from error
            time.sleep(_PAUSE)
        else:
            return
