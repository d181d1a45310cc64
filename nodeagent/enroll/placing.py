"""Files below a directory that is somebody else's: an image's root, xCAT's postscripts. No link in it is followed."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodeagent.errors import InvalidConfiguration

MARK = "Written by `nodeagent enroll"
"""In a file of ours, near its beginning. With ``marked``, what lacks it is never replaced."""
_NEAR = 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """``path`` is relative to the directory; missing parents are made with mode 0755."""

    path: PurePosixPath
    content: bytes
    mode: int
    marked: bool = False


def place(top: Path, file: File) -> Path:
    """Write the file whole, or leave what is there; the path that it has now.

    Raises:
        InvalidConfiguration: the directory is missing; a link, or something else than a directory, is on the way;
            something else than a file of ours stands there; or it cannot be written.
    """
    shown = top / file.path
    try:
        with _directory(top, file.path.parent) as directory:
            _demand_ours(directory, file, shown)
            _write(directory, file)
    except OSError as error:
        raise InvalidConfiguration(f"{shown}: cannot be written: {error.strerror}") from error
    return shown


@contextlib.contextmanager
def _directory(top: Path, below: PurePosixPath) -> Iterator[int]:
    """The open directory ``below`` the top, made where it is missing."""
    here = top
    try:
        descriptor = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidConfiguration(f"{top}: no such directory: name one that is there") from error
    try:
        for part in below.parts:
            here /= part
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=descriptor)
                os.chmod(part, 0o755, dir_fd=descriptor)  # whatever the umask
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            except OSError as error:
                raise InvalidConfiguration(
                    f"{here}: a link, or no directory: it is not followed; put a directory there"
                ) from error
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _demand_ours(directory: int, file: File, shown: Path) -> None:
    try:
        found = os.stat(file.path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise InvalidConfiguration(f"{shown}: is there already, and is no regular file: move it away")
    if file.marked:
        descriptor = os.open(file.path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with open(descriptor, "rb") as stream:
            if MARK.encode() not in stream.read(_NEAR):
                raise InvalidConfiguration(f"{shown}: is there already, and is not nodeagent's: move it away")


def _write(directory: int, file: File) -> None:
    temporary = f".{file.path.name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(file.content)
            os.fchmod(descriptor, file.mode)
            stream.flush()
            os.fsync(descriptor)
        os.rename(temporary, file.path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
