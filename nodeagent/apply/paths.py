"""Finding a destination without ever being led astray by somebody else's link.

A path is walked one component at a time, each opened relative to the one before (``openat`` with ``O_PATH`` and
``O_NOFOLLOW``), so that what was checked is what is used, and a parent that is swapped meanwhile redirects nothing.
Whoever places a file works with the open directory and a name in it, never with the whole path again.

A link is followed only where root alone decides what stands there: *trusted* means that every directory from ``/``
down belongs to root (or to the user the agent runs as) and that nobody else can write to it. In a directory with the
sticky bit, such as ``/tmp``, what root owns is trusted too, as others cannot replace it.
"""

import dataclasses
import errno
import os
import stat
from dataclasses import dataclass
from typing import Self

from nodeagent.apply import acl

MAX_LINKS = 40  # as the kernel (MAXSYMLINKS)

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(slots=True, kw_only=True)
class Directory:
    """An open directory; close it, or use it as a context manager.

    ``fd`` may be an ``O_PATH`` descriptor: good for names in the directory, not for listing it. ``path`` is absolute
    and free of links. ``trusted``: nobody but root decides what the directory is. ``mode``, ``uid``, ``gid`` are the
    directory's own.
    """

    fd: int
    path: str
    trusted: bool
    mode: int
    uid: int
    gid: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def child(self, name: str) -> str:
        """The absolute path of a name in this directory."""
        return f"/{name}" if self.path == "/" else f"{self.path}/{name}"

    def lstat(self, name: str) -> os.stat_result | None:
        """What stands under the name, or None."""
        try:
            return os.lstat(name, dir_fd=self.fd)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """What stands in the directory, in no order."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def change_mode(self, mode: int) -> None:
        """Give the directory another mode (permission bits)."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        self.mode = stat.S_IFMT(self.mode) | mode

    def vouches_for(self, entry: os.stat_result) -> bool:
        """Whether root alone decides that this entry stands where it stands."""
        if not self.trusted or self.uid not in _masters():
            return False
        if not self.mode & _OTHERS_WRITE:
            return True
        return bool(self.mode & stat.S_ISVTX) and entry.st_uid in _masters()

    @property
    def mount_id(self) -> int:
        """Which mount the directory is in (``mnt_id`` in proc(5)): a bind mount shows in nothing else."""
        with open(f"/proc/self/fdinfo/{self.fd}", "rb") as info:
            return next(int(line.split()[1]) for line in info if line.startswith(b"mnt_id:"))

    @property
    def new_gid(self) -> int:
        """The group that a new file gets here."""
        return self.gid if self.mode & stat.S_ISGID else os.getegid()

    def new_bits(self, umask: int) -> int:
        """The permission bits that something new can get here."""
        return acl.new_bits(self.fd, umask)

    def enter(self, name: str) -> "Directory":
        """Open a subdirectory, never through a link.

        Raises:
            OSError: there is no such directory, or a link or another thing stands there.
        """
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        return _below(self, fd, name)


@dataclass(slots=True, kw_only=True)
class Place:
    """A name in an open directory: where a destination stands or will stand."""

    directory: Directory
    name: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.directory.close()

    @property
    def path(self) -> str:
        return self.directory.child(self.name)


def open_directory(path: str, *, cwd: str) -> Directory:
    """Open a directory, following trusted links.

    Args:
        path: As the shell gave it.
        cwd: The shell's working directory (absolute), for a relative path.

    Raises:
        OSError: it does not exist, is no directory, or lies behind a link that is not trusted.
    """
    with _Walk(os.path.join(cwd, path)) as walk:
        while walk.pending:
            name = walk.pending.pop()
            if not walk.follow(name):
                walk.enter(name)
        return walk.take()


def locate(path: str, *, cwd: str, follow: bool) -> Place:
    """Find where a file stands or would be made.

    Args:
        path: As the shell gave it.
        cwd: The shell's working directory (absolute), for a relative path.
        follow: Whether a link in the last place is followed (to what may not exist), as a redirection does.

    Raises:
        OSError: a directory on the way is missing or is none, or a link is not trusted; ``IsADirectoryError`` when
            the path ends in ``/``, ``.`` or ``..``.
    """
    with _Walk(os.path.join(cwd, path)) as walk:
        while walk.pending:
            name = walk.pending.pop()
            if walk.pending or walk.names_directory:
                if not walk.follow(name):
                    walk.enter(name)
            elif not follow or not walk.follow(name):
                return Place(directory=walk.take(), name=name)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


class _Walk:
    """The directory reached so far, and the names still to go (the next one last)."""

    def __init__(self, path: str) -> None:
        self.pending: list[str] = []
        self.names_directory = False  # the path ends in a way that only a directory can have
        self._links = 0
        self._trusted: list[bool] = []  # of the directories above
        self._push(path)
        self._here = _root()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()

    def take(self) -> Directory:
        """Hand over the directory reached; it is the caller's to close."""
        taken = self._here
        self._here = dataclasses.replace(taken, fd=-1)
        return taken

    def follow(self, name: str) -> bool:
        """If the name is a link, go on at its target.

        Raises:
            OSError: the link is not trusted, or there are too many.
        """
        entry = self._here.lstat(name)
        if entry is None or not stat.S_ISLNK(entry.st_mode):
            return False
        path = self._here.child(name)
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(name, dir_fd=self._here.fd)
        if not self._here.vouches_for(entry):
            raise OSError(errno.ELOOP, "Link in a directory that others than root may change, not followed", path)
        if target.startswith("/"):
            self._trusted.clear()
            self._move(_root())
        self._push(target)
        return True

    def enter(self, name: str) -> None:
        """Go into a directory; ``..`` goes up."""
        fd = os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=self._here.fd)
        if name == "..":
            trusted = self._trusted.pop() if self._trusted else True
            self._move(_directory(fd, os.path.dirname(self._here.path), trusted=trusted))
        else:
            self._trusted.append(self._here.trusted)
            self._move(_below(self._here, fd, name))

    def _push(self, path: str) -> None:
        names = [name for name in path.split("/") if name not in {"", "."}]
        if not self.pending:
            self.names_directory = path.rpartition("/")[2] in {"", ".", ".."}
        self.pending.extend(reversed(names))

    def _move(self, to: Directory) -> None:
        self._here.close()
        self._here = to


def _masters() -> tuple[int, int]:
    """Whose directories and links are as good as root's: root, and the user that runs this."""
    return (0, os.geteuid())


def _root() -> Directory:
    return _directory(os.open("/", _LOOK | os.O_DIRECTORY), "/", trusted=True)


def _below(above: Directory, fd: int, name: str) -> Directory:
    """The directory that was opened as ``name`` in another one."""
    below = _directory(fd, above.child(name), trusted=False)
    below.trusted = above.vouches_for(os.fstat(fd))
    return below


def _directory(fd: int, path: str, *, trusted: bool) -> Directory:
    entry = os.fstat(fd)
    return Directory(fd=fd, path=path, trusted=trusted, mode=entry.st_mode, uid=entry.st_uid, gid=entry.st_gid)
