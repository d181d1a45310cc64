"""A file that holds a secret: root's own, closed to all others, in memory, and reached by nobody else's link."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from nodeagent.errors import PasswordUnavailable
from nodeagent.source import storage
from nodeagent.source.secrets.memory import Secret

_PLACE = os.O_PATH | os.O_CLOEXEC  # a place in the tree; nothing is opened, no fifo waits
_LINKS = 40  # as many as the kernel follows (path_resolution(7))


def read(path: Path, most: int, *, in_memory: bool) -> Secret | None:
    """Read up to so many bytes; None when there is no such file.

    Args:
        path: absolute.
        most: bytes.
        in_memory: refuse a file that does not lie on a tmpfs or ramfs.

    Raises:
        PasswordUnavailable: the file cannot be read, or others may read or exchange it, or it lies on a disk.
    """
    try:
        place = _find(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PasswordUnavailable(f"{path}: cannot be read: {error.strerror}") from error
    try:
        _demand_private(path, os.fstat(place))
        here = Path(f"/proc/self/fd/{place}")
        if in_memory and not storage.is_memory(here):
            raise PasswordUnavailable(
                f"{path}: lies on a disk, which would keep the secret: put it on a tmpfs, such as below /run"
            )
        descriptor = os.open(here, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)):
            return Secret.read(descriptor, most)
    except OSError as error:
        raise PasswordUnavailable(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(place)


def _find(path: Path) -> int:
    """Go to the file, step by step; a link is followed only where none but root can have put it.

    Raises:
        FileNotFoundError, OSError
        PasswordUnavailable: there is a link in a directory in which others may write.
    """
    pending = list(reversed(path.parts[1:]))
    here = os.open("/", _PLACE)
    links = 0
    try:
        while pending:
            there = os.open(pending.pop(), _PLACE | os.O_NOFOLLOW, dir_fd=here)
            if not stat.S_ISLNK(os.fstat(there).st_mode):
                os.close(here)
                here = there
                continue
            try:
                target = Path(os.readlink("", dir_fd=there))
            finally:
                os.close(there)
            _demand_trusted(path, here)
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.is_absolute():
                os.close(here)
                here = os.open("/", _PLACE)
            pending += reversed(target.parts[target.is_absolute() :])
    except BaseException:
        os.close(here)
        raise
    return here


def _demand_trusted(path: Path, directory: int) -> None:
    found = os.fstat(directory)
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
        name = os.readlink(f"/proc/self/fd/{directory}")
        raise PasswordUnavailable(
            f"{path}: is, or leads through, a link in {name}, where others may write: name the file itself"
        )


def _demand_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PasswordUnavailable(f"{path}: is no regular file")
    if found.st_uid != os.geteuid():
        raise PasswordUnavailable(f"{path}: belongs to user {found.st_uid}, not to {os.geteuid()}: chown it")
    if found.st_mode & 0o077:
        raise PasswordUnavailable(
            f"{path}: others may read it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 0400 it, change what is in it"
        )
