"""Places: whether one is memory, or a disk that would keep a secret after the power is gone; directories for all."""

import ctypes
import os
from pathlib import Path

TMPFS_MAGIC = 0x01021994  # linux/magic.h
RAMFS_MAGIC = 0x858458F6

_libc = ctypes.CDLL(None, use_errno=True)


class _Statfs(ctypes.Structure):
    """The beginning of ``struct statfs``; the rest only reserves room (120 bytes on 64-bit Linux)."""

    _fields_ = (("f_type", ctypes.c_long), ("_room", ctypes.c_char * 248))


def is_memory(path: Path) -> bool:
    """Tell whether the file or directory lies on a tmpfs or ramfs.

    Raises:
        OSError: there is no such path.
    """
    result = _Statfs()
    if _libc.statfs(os.fsencode(path), ctypes.byref(result)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result.f_type & 0xFFFFFFFF in (TMPFS_MAGIC, RAMFS_MAGIC)


def make_passable(path: Path) -> None:
    """Make a directory, and those above it that are missing, for every user to enter, whatever the umask is."""
    if not path.is_dir():
        make_passable(path.parent)
        path.mkdir(exist_ok=True)  # another process may have come first
        path.chmod(0o755)
