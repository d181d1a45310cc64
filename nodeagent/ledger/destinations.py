"""The destinations: who put them there, how they were left, what stood there before.

:func:`sweep` compares the node with what the last evaluation left, by ``lstat`` and, where that differs, by content.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.ledger.database import Connection
from nodeagent.model.destinations import Content, Stat


def lstat(path: str) -> Stat | None:
    """None when nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stat.of(found)


def digest(path: str, mode: int) -> str:
    """As in :class:`nodeagent.model.destinations.Content`; empty for what has no content."""
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """``left`` is None for a destination that a later step had removed."""

    native_digest: str
    left_digest: str
    left: Stat | None

    def content(self) -> Content | None:
        if self.left is None:
            return None
        return Content(
            kind=stat.S_IFMT(self.left.mode),
            digest=self.left_digest,
            mode=stat.S_IMODE(self.left.mode),
            uid=self.left.uid,
            gid=self.left.gid,
        )

    def still_there(self, path: str, now: Stat | None) -> bool:
        """By the stat; where that differs, by type, owner, mode and content."""
        if now == self.left:
            return True
        if now is None or self.left is None:
            return False
        same = (now.mode, now.uid, now.gid) == (self.left.mode, self.left.uid, self.left.gid)
        return same and digest(path, now.mode) == self.left_digest


LEFT = "left_mode, left_uid, left_gid, left_size, left_mtime_ns, left_ctime_ns, left_inode"
ABSENT = Stat(mode=0, uid=0, gid=0, size=0, mtime_ns=0, ctime_ns=0, inode=0)
"""How a destination that is not there stands in the ledger and in the watch list."""


def row_of(values: Sequence[Any]) -> Row:
    native, left_digest, *columns = values
    left = stat_of(columns)
    return Row(native, left_digest, None if left == ABSENT else left)


def stat_of(values: Iterable[int]) -> Stat:
    """The columns of :data:`LEFT`."""
    return Stat(*values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All destinations of a source's last evaluation: those that drifted, and how the others look now."""

    drifted: Sequence[str]
    settled: Sequence[tuple[bytes, Stat]]


NOTHING = Sweep(drifted=(), settled=())


def sweep(connection: Connection, source: int) -> Sweep:
    """Compare the node with what the last evaluation left: by ``lstat``, and by content where that differs."""
    drifted: list[str] = []
    settled: list[tuple[bytes, Stat]] = []
    rows = connection.execute(
        f"SELECT path, native_digest, left_digest, {LEFT} FROM destination"
        " JOIN source ON source.id = destination.source"
        " WHERE source = ? AND evaluation >= last_finished AND left_mode IS NOT NULL",
        (source,),
    ).fetchall()
    for path, *values in rows:
        name = os.fsdecode(path)
        now = lstat(name)
        if now == tuple(values[2:]):
            settled.append((path, now))
        elif not row_of(values).still_there(name, now):
            drifted.append(name)
        elif now is None:
            settled.append((path, ABSENT))
        else:  # touched, and yet the same: no need to read it again the next time
            _remember(connection, path, now)
            settled.append((path, now))
    return Sweep(drifted=drifted, settled=settled)


def _remember(connection: Connection, path: bytes, now: Stat) -> None:
    connection.execute(
        f"UPDATE destination SET ({LEFT}) = (?, ?, ?, ?, ?, ?, ?) WHERE path = ?",
        (*now, path),
    )


def leave(connection: Connection, path: str) -> None:
    """Take a file that was changed after the steps, by nodeagent itself, for as they left it."""
    now = lstat(path)
    if now is None:
        return
    new = digest(path, now.mode)
    connection.execute(
        "UPDATE destination SET native_digest = CASE WHEN native_digest = left_digest THEN ?1 ELSE native_digest END,"
        " left_digest = ?1 WHERE path = ?2",
        (new, os.fsencode(path)),
    )
    _remember(connection, os.fsencode(path), now)


def paths(connection: Connection, source: int) -> list[str]:
    """All that a source's evaluations have placed, also what they no longer do."""
    rows = connection.execute("SELECT path FROM destination WHERE source = ?", (source,))
    return [os.fsdecode(row[0]) for row in rows]


def count(connection: Connection, source: int) -> int:
    """How many destinations are watched."""
    found = connection.execute(
        "SELECT count(*) FROM destination JOIN source ON source.id = destination.source"
        " WHERE source = ? AND evaluation >= last_finished",
        (source,),
    ).fetchone()
    return int(found[0])
