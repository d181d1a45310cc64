"""Giving a regular file new content as a redirection would: the same file to everybody, with its mode and owner."""

import contextlib
import errno
import hashlib
import os
import stat

from nodeagent.apply import label
from nodeagent.apply.atomic import AtomicFile, write_all
from nodeagent.apply.paths import Place, locate
from nodeagent.model.destinations import Content, Destinations
from nodeagent.model.evaluation import Change

# A file that is a mount point, or lies in a directory that cannot be written, cannot be replaced but can be written.
_NOT_BY_RENAME = frozenset({errno.EBUSY, errno.EROFS})

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BOTH = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def look_at(place: Place) -> os.stat_result | None:
    """The lstat of the regular file at the place, or None when nothing is there.

    Raises:
        OSError: something else than a regular file is there; or the file has several names where others than root
            could have linked it.
    """
    there = place.directory.lstat(place.name)
    if there is None:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place.path)
    if not stat.S_ISREG(there.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", place.path)
    if there.st_nlink > 1 and not place.directory.vouches_for(there):
        raise OSError(errno.EMLINK, "Has several names, in a directory that others than root may change", place.path)
    return there


def read(place: Place, there: os.stat_result) -> bytes:
    """Everything that the file holds."""
    with open(_open(place, there, _READ), "rb", buffering=0) as file:
        return file.readall()


def create(place: Place, data: bytes, final: Content) -> None:
    """Make a file that did not exist, or replace it, with mode and owner of ``final``."""
    with contextlib.ExitStack() as made:
        with label.from_policy(place.path, stat.S_IFREG):
            file = made.enter_context(AtomicFile(place.directory.fd, place.name))
        file.write(data)
        file.commit(mode=final.mode, uid=final.uid, gid=final.gid)


def replace(place: Place, there: os.stat_result, data: bytes, final: Content) -> None:
    """Give an existing file new content, and mode and owner of ``final``.

    By rename, so that a reader sees all or nothing; in place where a rename would cut the file off from its other
    names, or is not possible.
    """
    if there.st_nlink > 1:
        _write_over(place, there, data, final)
        return
    try:
        with AtomicFile(place.directory.fd, place.name) as file:
            file.write(data)
            file.carry_labels()
            file.commit(mode=final.mode, uid=final.uid, gid=final.gid)
    except OSError as error:
        if error.errno not in _NOT_BY_RENAME:
            raise
        _write_over(place, there, data, final)


def append(place: Place, there: os.stat_result, data: bytes) -> None:
    """Add to the end of a file in place, in one write if the kernel takes it: who holds the file keeps it.

    Raises:
        OSError: it is refused; what went in before a disk was full, or failed, is taken back, unless others have
            written behind it.
    """
    fd = _open(place, there, _BOTH | os.O_APPEND)
    before = os.fstat(fd)
    try:
        write_all(fd, data)
        os.fsync(fd)  # before the ledger says that it stands there
    except OSError:
        part = os.pread(fd, len(data) + 1, before.st_size)
        if part and part == data[: len(part)]:
            os.ftruncate(fd, before.st_size)
            os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))  # or it would look as if somebody had edited it
        raise
    finally:
        os.close(fd)


def set_attributes(place: Place, there: os.stat_result, final: Content) -> None:
    """Give an existing file mode and owner of ``final``."""
    fd = _open(place, there, _READ)
    try:
        _set(fd, final)
    finally:
        os.close(fd)


def leave_absent(path: str, destinations: Destinations) -> Change:
    """Remove what has come to stand where a later step of the last evaluation left nothing, if it is a file."""
    try:
        with locate(path, cwd="/", follow=False) as place:
            there = place.directory.lstat(place.name)
            if there is None or stat.S_ISDIR(there.st_mode):
                return Change.UNCHANGED
            destinations.keep(path)
            os.unlink(place.name, dir_fd=place.directory.fd)
            return Change.PRUNED
    except (FileNotFoundError, NotADirectoryError):  # its directory is gone too
        return Change.UNCHANGED


def as_created(place: Place, data: bytes, umask: int) -> Content:
    """What a redirection of this text makes where nothing is."""
    missing = 0o777 & ~place.directory.new_bits(umask)
    return of_text(data, missing, place.directory.new_gid)


def of_text(data: bytes, umask: int, gid: int) -> Content:
    """A new file with this text."""
    return Content(
        kind=stat.S_IFREG,
        digest=hashlib.sha256(data).hexdigest(),
        mode=0o666 & ~umask,
        uid=os.geteuid(),
        gid=gid,
    )


def _open(place: Place, there: os.stat_result, flags: int) -> int:
    """Open the file that was looked at, and no other that somebody has put in its place since."""
    fd = os.open(place.name, flags, dir_fd=place.directory.fd)
    if not os.path.samestat(os.fstat(fd), there):
        os.close(fd)
        raise OSError(errno.ESTALE, "Replaced by another file meanwhile", place.path)
    return fd


def _write_over(place: Place, there: os.stat_result, data: bytes, final: Content) -> None:
    """In place; where that is refused in its middle, what stood there is put back."""
    fd = _open(place, there, _BOTH)
    try:
        before = os.pread(fd, there.st_size, 0)
        try:
            if len(data) > len(before):
                os.posix_fallocate(fd, 0, len(data))  # before anything is overwritten
            write_all(fd, data)
            os.ftruncate(fd, len(data))
            _set(fd, final)
            os.fsync(fd)
        except OSError:
            _put_back(fd, before)
            raise
    finally:
        os.close(fd)


def _put_back(fd: int, before: bytes) -> None:
    """As far as the filesystem lets it: it needs no room for it."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, len(before))
        if os.pread(fd, len(before), 0) != before:
            os.lseek(fd, 0, os.SEEK_SET)
            write_all(fd, before)


def _set(fd: int, final: Content) -> None:
    there = os.fstat(fd)
    if (there.st_uid, there.st_gid) != (final.uid, final.gid):
        os.fchown(fd, final.uid, final.gid)
        there = os.fstat(fd)
    if stat.S_IMODE(there.st_mode) != final.mode:
        os.fchmod(fd, final.mode)
