"""Placing things so that a reader sees the old one or the new one, never half of one and never none.

Each is made under a temporary name in the destination's own directory, completed there (owner, mode, time), and
renamed. The temporary name follows from the name it is for: what a killed run left behind is found and removed when
the same destination is placed next, without reading the directory, and is told from any other file.

Data is synced before the rename, or a power cut could leave an empty file under the final name (XFS, ext4 without
``auto_da_alloc``); on tmpfs and ramfs, where stateless nodes live, ``fsync`` costs nothing.
"""

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import Self, TypeVar

_Made = TypeVar("_Made")

_LONGEST = 255 - len(".") - len(".nodeagent-XXXXXXXX")  # bytes of a name that a temporary one can hold
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# What a file carries besides mode and owner, and keeps when its content is replaced.
_ACL = "system.posix_acl_access"
_LABELS = ("security.selinux", _ACL)


def temporary_name(name: str) -> str:
    """The name under which ``name`` is prepared: ``.NAME.nodeagent-XXXXXXXX``, where NAME is not too long."""
    raw = os.fsencode(name)
    if len(raw) > _LONGEST:
        end = b"~%08x" % zlib.crc32(raw)
        raw = raw[: _LONGEST - len(end)] + end
    return os.fsdecode(b".%s.nodeagent-%08x" % (raw, zlib.crc32(raw)))


def is_temporary(name: str) -> bool:
    """Whether this is a name that :func:`temporary_name` made."""
    inner = name[1:].rpartition(".nodeagent-")[0]
    return bool(inner) and temporary_name(inner) == name


class AtomicFile:
    """A regular file that appears complete or not at all.

    Write to ``fd`` (or :meth:`write`), then :meth:`commit`. Leaving the context without a commit leaves nothing::

        with AtomicFile(directory, "fstab") as file:
            file.write(text)
            file.commit(mode=0o644, uid=0, gid=0)
    """

    def __init__(self, directory: int, name: str) -> None:
        """Args: ``directory`` is an open descriptor, ``name`` a single component.

        Raises:
            OSError: the temporary file cannot be made.
        """
        self._directory = directory
        self._name = name
        self._temporary = temporary_name(name)
        self._committed = False
        self.fd = _make(directory, self._temporary, self._open)

    def _open(self) -> int:
        return os.open(self._temporary, _CREATE, 0o600, dir_fd=self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove it if it did not get its name."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if not self._committed:
                discard(self._directory, self._temporary)

    def write(self, data: bytes) -> None:
        write_all(self.fd, data)

    def commit(self, *, mode: int, uid: int, gid: int, mtime_ns: int | None = None) -> None:
        """Give the file its owner, mode and time, make it last, and give it its name.

        Raises:
            OSError: one of these is refused; the destination is as it was.
        """
        self.complete(mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)
        os.fsync(self.fd)
        self.put()

    def complete(self, *, mode: int, uid: int, gid: int, mtime_ns: int | None = None) -> None:
        """The first part of :meth:`commit`: owner, mode and time."""
        os.fchown(self.fd, uid, gid)  # first: it clears the set-user-ID bit
        os.fchmod(self.fd, mode)
        if mtime_ns is not None:
            os.utime(self.fd, ns=(mtime_ns, mtime_ns))

    def put(self) -> None:
        """The last part: the name."""
        _rename(self._directory, self._temporary, self._name)
        self._committed = True

    def carry_labels(self) -> None:
        """Take over the SELinux label and the ACL of the regular file that will be replaced; or that it has no ACL.

        Raises:
            OSError: they cannot be given to the new one.
        """
        replaced = os.open(
            self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._directory
        )
        try:
            with _absent():
                os.removexattr(self.fd, _ACL)  # from the directory's default
            for label in _LABELS:
                with _absent():
                    os.setxattr(self.fd, label, os.getxattr(replaced, label))
        finally:
            os.close(replaced)


def place_link(directory: int, name: str, target: str, *, uid: int, gid: int, mtime_ns: int | None = None) -> None:
    """Make or replace a symbolic link.

    Raises:
        OSError: it cannot be made, or a directory stands there.
    """
    temporary = temporary_name(name)
    _make(directory, temporary, lambda: os.symlink(target, temporary, dir_fd=directory))
    with _removed_on_error(directory, temporary):
        _own(directory, temporary, uid=uid, gid=gid, mtime_ns=mtime_ns)
        _rename(directory, temporary, name)


def place_directory(
    directory: int, name: str, *, mode: int, uid: int, gid: int, inherit: bool = False, replace: bool = False
) -> None:
    """Make a directory, with its mode and owner from the first moment.

    Args:
        directory: An open descriptor.
        name: A single component.
        mode: Permission bits, 0..0o7777.
        uid: The owner.
        gid: The group.
        inherit: Keep the set-group-ID bit that the directory gets from the one above.
        replace: Remove the file or link that stands there, at the last moment.

    Raises:
        OSError: it cannot be made, or what stands there cannot make way.
    """
    temporary = temporary_name(name)
    _make(directory, temporary, lambda: os.mkdir(temporary, 0o700, dir_fd=directory))
    with _removed_on_error(directory, temporary):
        made = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if inherit:
                mode |= os.fstat(made).st_mode & stat.S_ISGID
            os.fchown(made, uid, gid)
            os.fchmod(made, mode)
        finally:
            os.close(made)
        if replace:
            os.unlink(name, dir_fd=directory)
        _rename(directory, temporary, name)


def place_node(directory: int, name: str, *, mode: int, device: int, uid: int, gid: int, mtime_ns: int | None) -> None:
    """Make or replace a fifo, a socket or a device; ``mode`` with the type bits, ``device`` as ``st_rdev``.

    Raises:
        OSError: it cannot be made, or a directory stands there.
    """
    temporary = temporary_name(name)
    umask = os.umask(0)  # the mode is given here: a chmod by name could be led astray, and a device is not opened
    try:
        _make(directory, temporary, lambda: os.mknod(temporary, mode, device, dir_fd=directory))
    finally:
        os.umask(umask)
    with _removed_on_error(directory, temporary):
        _own(directory, temporary, uid=uid, gid=gid, mtime_ns=mtime_ns)
        if stat.S_IMODE(os.lstat(temporary, dir_fd=directory).st_mode) != stat.S_IMODE(mode):
            _chmod_node(directory, temporary, mode)  # a default ACL, or the new owner, took something away
        _rename(directory, temporary, name)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, however often the kernel takes only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _make(directory: int, temporary: str, make: Callable[[], _Made]) -> _Made:
    """Make the temporary; one that a killed run left behind is removed first."""
    try:
        return make()
    except FileExistsError:
        discard(directory, temporary)
        return make()


@contextlib.contextmanager
def _absent() -> Iterator[None]:
    """Most files have no such attribute, some filesystems none at all."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.ENOTSUP}:
            raise


def _own(directory: int, temporary: str, *, uid: int, gid: int, mtime_ns: int | None) -> None:
    made = os.lstat(temporary, dir_fd=directory)
    if (made.st_uid, made.st_gid) != (uid, gid):
        os.chown(temporary, uid, gid, dir_fd=directory, follow_symlinks=False)
    if mtime_ns is not None:
        os.utime(temporary, ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)


def _chmod_node(directory: int, temporary: str, mode: int) -> None:
    """Without opening a device, and without following what somebody has put in its place."""
    made = os.open(temporary, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(made).st_mode) != stat.S_IFMT(mode):
            raise OSError(errno.ESTALE, "Replaced by another file meanwhile", temporary)
        os.chmod(f"/proc/self/fd/{made}", stat.S_IMODE(mode))
    finally:
        os.close(made)


def _rename(directory: int, temporary: str, name: str) -> None:
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def discard(directory: int, temporary: str) -> None:
    """Remove a temporary, whatever it is; a failure leaves it for the next run."""
    with contextlib.suppress(OSError):
        try:
            os.unlink(temporary, dir_fd=directory)
        except OSError as error:
            if error.errno not in {errno.EISDIR, errno.EPERM}:
                raise
            os.rmdir(temporary, dir_fd=directory)


@contextlib.contextmanager
def _removed_on_error(directory: int, temporary: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        discard(directory, temporary)
        raise
