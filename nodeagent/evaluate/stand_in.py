"""The instrumented text stands in its program's place, for the moment in which the shell opens the file.

The verbs' first request (``hello``) brings the original back, so that ``$0``, ``sed ... "$0"`` and re-execution see
what the repository holds. A crash in that moment is healed by :func:`restore_original`.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from nodeagent.node import needs

_BACKUP = ".{name}.nodeagent-original"
_STAGED = ".{name}.nodeagent-instrumented"

Back = Callable[[], None]
"""Brings the program's own text back to its path."""


def with_prelude(text: bytes, prelude: Path) -> bytes:
    """Source the verbs in line 1: in the place of ``#!``, which has been read already, or in front of what is there."""
    call = b". '" + os.fsencode(prelude) + b"'"
    first, newline, rest = text.partition(b"\n")
    return call + newline + rest if first.startswith(b"#") else call + b"; " + text


@contextlib.contextmanager
def in_place_of(original: Path, text: bytes) -> Iterator[Back]:
    """Let ``text`` stand at a path; the yielded function, and the end, bring the original back.

    Raises:
        OSError: the directory is not writable.
    """
    restore_original(original)
    backup, staged = _names(original)

    def back() -> None:
        restore_original(original)

    try:
        status = original.stat()
        with needs(staged):
            staged.write_bytes(text)
        os.chmod(staged, stat.S_IMODE(status.st_mode))
        os.chown(staged, status.st_uid, status.st_gid)
        os.link(original, backup)
        os.rename(staged, original)
        yield back
    finally:
        back()


def restore_original(original: Path) -> None:
    """Bring the original back, also after a crash; nothing happens when it is in its place."""
    backup, staged = _names(original)
    if os.path.lexists(staged):  # asked first: a read-only filesystem refuses to remove even what is not there
        staged.unlink()
    if os.path.lexists(backup):
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(backup.lstat(), original.lstat()):
                backup.unlink()
                return
        os.rename(backup, original)


def _names(original: Path) -> tuple[Path, Path]:
    return (
        original.with_name(_BACKUP.format(name=original.name)),
        original.with_name(_STAGED.format(name=original.name)),
    )
