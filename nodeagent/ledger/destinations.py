"""The destinations: who put them there, how they were left, what stood there before.

:class:`View` is the ledger as the native verbs see it in one evaluation (:class:`nodeagent.model.Destinations`);
:func:`sweep` compares the node with what the last evaluation left, by ``lstat`` and, where that differs, by content.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.ledger.database import Connection
from nodeagent.model import Block, Change, Content, Phase, Scope, Stat, Statement

_KEEP_LIMIT = 64 * 2**20  # bytes; larger originals are noted, not kept


def lstat(path: str) -> Stat | None:
    """None when nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stat(
        mode=found.st_mode,
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
    )


def digest(path: str, mode: int) -> str:
    """As in :class:`nodeagent.model.Content`; empty for what has no content."""
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class _Row:
    native_digest: str
    left_digest: str
    left: Stat

    def content(self) -> Content:
        return Content(
            kind=stat.S_IFMT(self.left.mode),
            digest=self.left_digest,
            mode=stat.S_IMODE(self.left.mode),
            uid=self.left.uid,
            gid=self.left.gid,
        )

    def still_there(self, path: str, now: Stat | None) -> bool:
        """By the stat; where that differs, by type, owner, mode and content."""
        if now is None:
            return False
        if now == self.left:
            return True
        same = (now.mode, now.uid, now.gid) == (self.left.mode, self.left.uid, self.left.gid)
        return same and digest(path, now.mode) == self.left_digest


_LEFT = "left_mode, left_uid, left_gid, left_size, left_mtime_ns, left_ctime_ns, left_inode"


def _row(values: Sequence[object]) -> _Row:
    native, left_digest, mode, uid, gid, size, mtime, ctime, inode = values
    return _Row(
        str(native),
        str(left_digest),
        Stat(
            mode=int(str(mode)),
            uid=int(str(uid)),
            gid=int(str(gid)),
            size=int(str(size)),
            mtime_ns=int(str(mtime)),
            ctime_ns=int(str(ctime)),
            inode=int(str(inode)),
        ),
    )


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
        f"SELECT path, native_digest, left_digest, {_LEFT} FROM destination"
        " JOIN source ON source.id = destination.source"
        " WHERE source = ? AND evaluation >= last_finished AND left_mode IS NOT NULL",
        (source,),
    ).fetchall()
    for path, *values in rows:
        row, name = _row(values), os.fsdecode(path)
        now = lstat(name)
        if now is None or not row.still_there(name, now):
            drifted.append(name)
            continue
        if now != row.left:  # touched, and yet the same: no need to read it again the next time
            _remember(connection, path, now)
        settled.append((path, now))
    return Sweep(drifted=drifted, settled=settled)


def _remember(connection: Connection, path: bytes, now: Stat) -> None:
    connection.execute(
        f"UPDATE destination SET ({_LEFT}) = (?, ?, ?, ?, ?, ?, ?) WHERE path = ?",
        (now.mode, now.uid, now.gid, now.size, now.mtime_ns, now.ctime_ns, now.inode, path),
    )


def count(connection: Connection, source: int) -> int:
    """How many destinations are watched."""
    found = connection.execute(
        "SELECT count(*) FROM destination JOIN source ON source.id = destination.source"
        " WHERE source = ? AND evaluation >= last_finished",
        (source,),
    ).fetchone()
    return int(found[0])


@dataclass(slots=True)
class _Placed:
    """What this evaluation did to a destination so far."""

    statement: Statement
    phase: Phase
    chain: list[Content] = field(default_factory=list)
    created: bool = False
    changed: bool = False
    stat: Stat | None = None


class View:
    """Is a :class:`nodeagent.model.Destinations`; set ``statement`` before each verb, call :meth:`flush` after."""

    def __init__(self, connection: Connection, *, source: int, evaluation: int, scope: Scope, keep_in: Path) -> None:
        self._connection = connection
        self._source = source
        self._evaluation = evaluation
        self._scope = scope
        self._keep_in = keep_in
        self._placed: dict[str, _Placed] = {}
        self._unwritten: set[str] = set()
        self._rows: dict[str, _Row | None] = {}
        self._still: dict[str, bool] = {}
        self.statement: Statement | None = None

    # --- asked by the verbs ---

    def settled(self, path: str, wanted: Content) -> bool:
        placed = self._placed.get(path)
        row = self._known(path)
        if row is None or (placed is not None and placed.changed) or not self._same_link(path, wanted):
            return False
        if self._scope is Scope.FULL and row.left_digest != row.native_digest:
            return False  # a later step edits it: it is to start from the verb's own text
        if path not in self._still:
            self._still[path] = row.still_there(path, lstat(path))
        return self._still[path]

    def left(self, path: str, wanted: Content) -> Content | None:
        row = self._known(path)
        return row.content() if row is not None and self._same_link(path, wanted) else None

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change) -> None:
        assert self.statement is not None
        placed = self._placed.setdefault(path, _Placed(self.statement, phase))
        placed.statement, placed.phase = self.statement, phase
        placed.chain.append(wanted)
        placed.created |= change is Change.CREATED and self._known(path) is None
        placed.changed |= change in (Change.CREATED, Change.UPDATED)
        placed.stat = lstat(path)
        self._unwritten.add(path)

    def keep(self, path: str) -> None:
        key = os.fsencode(path)
        known = self._connection.execute(
            "SELECT 1 FROM kept WHERE path = ? UNION SELECT 1 FROM destination WHERE path = ?", (key, key)
        ).fetchone()
        found = lstat(path)
        if known or found is None or path in self._placed:
            return
        content = digest(path, found.mode) if found.size <= _KEEP_LIMIT else ""
        if stat.S_ISREG(found.mode) and content:
            self._keep_content(path, content)
        self._connection.execute(
            "INSERT OR IGNORE INTO kept VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                stat.S_IFMT(found.mode),
                content,
                stat.S_IMODE(found.mode),
                found.uid,
                found.gid,
                self._evaluation,
            ),
        )

    def blocks(self, path: str) -> Sequence[Block]:
        rows = self._connection.execute(
            "SELECT statement, text, adopted FROM block WHERE path = ? ORDER BY position", (os.fsencode(path),)
        )
        return [Block(statement=row[0], text=bytes(row[1]), adopted=bool(row[2])) for row in rows]

    def appended(self, path: str, blocks: Sequence[Block]) -> None:
        key = os.fsencode(path)
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute("DELETE FROM block WHERE path = ?", (key,))
            self._connection.executemany(
                "INSERT INTO block VALUES (?, ?, ?, ?, ?)",
                [(key, n, b.statement, b.text, b.adopted) for n, b in enumerate(blocks)],
            )

    # --- asked by the step engine ---

    def flush(self) -> None:
        """Write down what the verb has placed; ``left`` stays open until :meth:`finish`."""
        with self._connection:
            self._connection.execute("BEGIN")
            for path in self._unwritten:
                placed = self._placed[path]
                self._connection.execute(
                    "INSERT INTO destination (path, source, evaluation, file, line, phase, created, native_digest)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, '') ON CONFLICT (path) DO UPDATE SET source = excluded.source,"
                    " evaluation = excluded.evaluation, file = excluded.file, line = excluded.line,"
                    " phase = excluded.phase",
                    (
                        os.fsencode(path),
                        self._source,
                        self._evaluation,
                        placed.statement.file,
                        placed.statement.line,
                        placed.phase,
                        placed.created,
                    ),
                )
        self._unwritten.clear()

    def finish(self) -> None:
        """Record every destination as the evaluation leaves it."""
        with self._connection:
            self._connection.execute("BEGIN")
            for path, placed in self._placed.items():
                self._finish_one(path, placed)

    def _finish_one(self, path: str, placed: _Placed) -> None:
        key = os.fsencode(path)
        now = lstat(path)
        if now is None or placed.stat is None:
            self._connection.execute("UPDATE destination SET left_mode = NULL WHERE path = ?", (key,))
            return
        row = self._known(path)
        if row is not None and now == row.left:
            native, left = row.native_digest, row.left_digest
        else:
            left = digest(path, now.mode)
            untouched = (now.inode, now.size, now.mtime_ns) == (
                placed.stat.inode,
                placed.stat.size,
                placed.stat.mtime_ns,
            )
            settled = row is not None and not placed.changed
            native = left if untouched and not settled else self._native(path, placed, row, left)
        self._connection.execute(
            f"UPDATE destination SET native_digest = ?, left_digest = ?, ({_LEFT}) = (?, ?, ?, ?, ?, ?, ?)"
            " WHERE path = ?",
            (
                native,
                left,
                now.mode,
                now.uid,
                now.gid,
                now.size,
                now.mtime_ns,
                now.ctime_ns,
                now.inode,
                key,
            ),
        )
        self._connection.execute("DELETE FROM link WHERE path = ?", (key,))
        self._connection.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, n, c.kind, c.digest, c.mode, c.uid, c.gid) for n, c in enumerate(placed.chain)],
        )

    def _native(self, path: str, placed: _Placed, row: _Row | None, left: str) -> str:
        """The digest behind the last native verb: as before if the verbs found nothing to do; otherwise a later step
        has changed the content since, and what the verb wrote is known only if the chain ends in a whole content."""
        if row is not None and not placed.changed:
            return row.native_digest
        return placed.chain[-1].digest if placed.phase is not Phase.APPEND else f"before-{left}"

    # --- inside ---

    def _known(self, path: str) -> _Row | None:
        """The row as the last evaluation of this source left it."""
        if path not in self._rows:
            found = self._connection.execute(
                f"SELECT native_digest, left_digest, {_LEFT} FROM destination"
                " WHERE path = ? AND source = ? AND left_mode IS NOT NULL",
                (os.fsencode(path), self._source),
            ).fetchone()
            self._rows[path] = _row(found) if found else None
        return self._rows[path]

    def _same_link(self, path: str, wanted: Content) -> bool:
        position = len(self._placed[path].chain) if path in self._placed else 0
        found = self._connection.execute(
            "SELECT kind, digest, mode, uid, gid FROM link WHERE path = ? AND position = ?",
            (os.fsencode(path), position),
        ).fetchone()
        return found is not None and tuple(found) == (
            wanted.kind,
            wanted.digest,
            wanted.mode,
            wanted.uid,
            wanted.gid,
        )

    def _keep_content(self, path: str, name: str) -> None:
        self._keep_in.mkdir(mode=0o700, exist_ok=True)
        target = self._keep_in / name
        if target.exists():
            return
        staged = target.with_name(name + ".new")
        with (
            open(path, "rb") as source,
            open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to,
        ):
            while chunk := source.read(2**20):
                to.write(chunk)
            to.flush()
            os.fsync(to.fileno())
        staged.rename(target)
