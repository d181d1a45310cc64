"""The watch list: how every destination of a settled node looks to ``lstat``, in one small file.

Most cycles find nothing new. For them the fetch worker, while it is still root, compares the list with the node, and
neither the ledger is opened nor a second worker forked. The list says nothing about content and decides nothing: the
slightest difference, or no list, means that the apply worker has to look, with the ledger in hand.

The file lies on tmpfs. It begins with the boot id, so that one of an earlier boot does not count, and holds for each
destination the fields of :class:`nodeagent.model.destinations.Stat` (all 0 for one that is not to be there),
the length of the path, and the path. Between the two stands a note of the caller's: what he would else ask the ledger.
"""

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from nodeagent.model.destinations import Stat

_NAME = "watch"
_NOTE = struct.Struct("<I")  # its length
_RECORD = struct.Struct("<IIIQqqQI")


def write(runtime: Path, boot: str, destinations: Iterable[tuple[bytes, Stat]], note: bytes = b"") -> None:
    """Write the list anew, with what :func:`look` is to give back."""
    content = bytearray(boot.encode() + _NOTE.pack(len(note)) + note)
    for path, stat in destinations:
        content += _RECORD.pack(*stat, len(path)) + path
    staged = runtime / f".{_NAME}.new"
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    staged.rename(runtime / _NAME)


def remove(runtime: Path) -> None:
    """From now on the apply worker has to look."""
    with contextlib.suppress(FileNotFoundError):
        (runtime / _NAME).unlink()


def mark(runtime: Path) -> int:
    """Another number whenever the list was written anew; 0 while there is none."""
    try:
        return os.stat(runtime / _NAME).st_mtime_ns
    except OSError:
        return 0


def look(runtime: Path, boot: str) -> bytes | None:
    """The note of the list, if the node was settled and every destination still looks as it did then; else None."""
    try:
        with open(runtime / _NAME, "rb") as file:
            content = file.read()
    except OSError:
        return None
    head = len(boot) + _NOTE.size
    if content[: len(boot)] != boot.encode():
        return None
    end = head + _NOTE.unpack_from(content, len(boot))[0]
    return content[head:end] if _is_as_listed(content, end) else None


def _is_as_listed(content: bytes, offset: int) -> bool:
    while offset < len(content):
        *fields, length = _RECORD.unpack_from(content, offset)
        offset += _RECORD.size + length
        try:
            found = os.lstat(content[offset - length : offset])
        except (FileNotFoundError, NotADirectoryError):
            if any(fields):
                return False
            continue  # it was left absent: all its fields are 0
        except OSError:
            return False
        if fields != [
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
        ]:
            return False
    return True
