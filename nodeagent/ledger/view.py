"""The ledger as the native verbs see it in one evaluation (:class:`nodeagent.model.Destinations`).

The verbs on one destination are a chain: each asks what the verb at its place wanted the last time. What a verb has
done is written down before the next one begins, so that after a crash the node is known as the crash left it: a mode or
an edit that a later step had given a file is not taken back when that step, which is done, will not run again.
"""

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.ledger import changes, statements
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import ABSENT, LEFT, Row, digest, lstat, row_of
from nodeagent.ledger.undo import undone
from nodeagent.model import Block, Change, Content, Phase, Scope, Stat, Statement

_REMOVED = "removed"  # in the place of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """A destination as the last evaluation left it, and what the chain of its verbs wanted."""

    row: Row
    chain: Sequence[Content]


@dataclass(slots=True)
class _Placed:
    """What this evaluation did to a destination so far."""

    statement: Statement
    phase: Phase
    chain: list[Content] = field(default_factory=list)
    created: bool = False
    changed: bool = False
    diverged: bool = False  # the verbs wanted other things than the last time
    edited: bool = False  # by a step between two verbs
    stat: Stat | None = None

    def is_as_placed(self, now: Stat | None) -> bool:
        """Whether nobody has written to it since (its mode and owner may be other ones)."""
        if now is None or self.stat is None:
            return now is self.stat
        return (now.inode, now.size, now.mtime_ns) == (self.stat.inode, self.stat.size, self.stat.mtime_ns)


class View:
    """Set ``statement`` before each verb, call :meth:`flush` after it.

    ``anew``: what edits the verb's destination runs in every evaluation, so that the verb has to put its text first.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        source: int,
        evaluation: int,
        scope: Scope,
        keep_in: Path,
        keep_bytes: int,
        spared: frozenset[str],
    ) -> None:
        self._connection = connection
        self._source = source
        self._evaluation = evaluation
        self._scope = scope
        self._keep_in = keep_in
        self._keep_bytes = keep_bytes
        self._placed: dict[str, _Placed] = {}
        self._unwritten: set[str] = set()
        self._pasts: dict[str, _Past | None] = {}
        self._undone = undone(connection)
        self._revision = statements.revision_of(connection, evaluation)
        self._spared = spared
        self.statement: Statement | None = None
        self.anew = False

    # --- asked by the verbs ---

    def settled(self, path: str, wanted: Content) -> bool:
        if path in self._undone or path in self._spared:
            return True
        now = lstat(path)
        placed = self._placed.get(path)
        if placed is not None:
            placed.edited |= not placed.is_as_placed(now)
        past = self._past(path)
        if past is None or (placed is not None and placed.changed) or not self._same_link(path, wanted):
            return False
        if self._begins_anew() and past.row.left_digest != past.row.native_digest:
            return False  # a later step edits it: it is to start from the verb's own text
        return past.row.still_there(path, now)

    def left(self, path: str, wanted: Content) -> Content | None:
        past = self._past(path)
        return past.row.content() if past is not None and self._same_link(path, wanted) else None

    def left_absent(self, path: str) -> bool:
        if path in self._undone or path in self._spared:
            return lstat(path) is None  # what was put back there is settled
        past, placed = self._past(path), self._placed.get(path)
        absent = past is not None and past.row.left is None and not self._begins_anew()
        return absent and (placed is None or not placed.changed)

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change) -> None:
        assert self.statement is not None
        if path in self._undone:
            return
        if path in self._spared:  # how it was left stays on record: it is still drift
            self._touch(path, self.statement)
            return
        placed = self._placed.setdefault(path, _Placed(self.statement, phase))
        placed.statement, placed.phase = self.statement, phase
        placed.diverged |= not self._same_link(path, wanted)
        placed.chain.append(wanted)
        placed.created |= change is Change.CREATED and self._past(path) is None
        placed.changed |= change in (Change.CREATED, Change.UPDATED)
        placed.stat = lstat(path)
        self._unwritten.add(path)

    def keep(self, path: str) -> None:
        found = lstat(path)
        if found is not None or self._past(path) is not None:  # what is quite new is noted when it is written down
            changes.note(self._connection, path)
        key = os.fsencode(path)
        known = self._connection.execute(
            "SELECT 1 FROM kept WHERE path = ? UNION SELECT 1 FROM destination WHERE path = ?", (key, key)
        ).fetchone()
        past = self._past(path)
        others = past is not None and past.row.left is None  # it has come where nothing was left
        if (known and not others) or found is None or path in self._placed:
            return
        content = digest(path, found.mode) if found.size <= self._keep_bytes else ""
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
            statements.write_blocks(self._connection, key, blocks, source=self._source, evaluation=self._evaluation)

    # --- asked by the step engine ---

    def flush(self) -> None:
        """Write down what the verb has placed; how it is left stays open until :meth:`finish`."""
        with self._connection:
            self._connection.execute("BEGIN")
            for path in self._unwritten:
                self._flush_one(path, self._placed[path])
        self._unwritten.clear()

    def finish(self) -> None:
        """Record every destination as the evaluation leaves it."""
        with self._connection:
            self._connection.execute("BEGIN")
            for path, placed in self._placed.items():
                self._finish_one(path, placed)

    def _flush_one(self, path: str, placed: _Placed) -> None:
        key = os.fsencode(path)
        past = self._past(path)
        if past is not None and not placed.changed and list(past.chain[: len(placed.chain)]) == placed.chain:
            self._touch(path, placed.statement)
            return
        if past is None or placed.changed:
            changes.note(self._connection, path)
        native = "" if placed.phase is Phase.APPEND else placed.chain[-1].digest
        self._connection.execute(
            "INSERT INTO destination (path, source, evaluation, file, line, phase, created, native_digest, statement,"
            " revision, written) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (path) DO UPDATE SET source = excluded.source,"
            " evaluation = excluded.evaluation, file = excluded.file, line = excluded.line, phase = excluded.phase,"
            " native_digest = excluded.native_digest, left_mode = NULL, statement = excluded.statement,"
            " revision = CASE WHEN excluded.written IS NULL THEN coalesce(nullif(revision, ''), excluded.revision)"
            " ELSE excluded.revision END,"
            " written = coalesce(excluded.written, written)",
            (
                key,
                self._source,
                self._evaluation,
                placed.statement.file,
                placed.statement.line,
                placed.phase,
                placed.created,
                native,
                placed.statement.key,
                self._revision,
                time.time() if placed.changed else None,
            ),
        )
        self._write_chain(key, placed.chain)

    def _touch(self, path: str, statement: Statement) -> None:
        """A verb has named the destination, and left it as it is."""
        self._connection.execute(
            "UPDATE destination SET evaluation = ?, statement = ? WHERE path = ?",
            (self._evaluation, statement.key, os.fsencode(path)),
        )

    def _finish_one(self, path: str, placed: _Placed) -> None:
        key = os.fsencode(path)
        now = lstat(path)
        past = self._past(path)
        if now is None:  # a later step removed it
            native, left, now = placed.chain[-1].digest, _REMOVED, ABSENT
        elif past is not None and now == past.row.left:
            native, left = past.row.native_digest, past.row.left_digest
        else:
            left = digest(path, now.mode)
            native = self._native(placed, past, left, as_placed=placed.is_as_placed(now))
        if placed.edited:
            native = f"edited between verbs, then {left}"
        fields = (now.mode, now.uid, now.gid, now.size, now.mtime_ns, now.ctime_ns, now.inode)
        self._connection.execute(
            f"UPDATE destination SET file = ?, line = ?, phase = ?, native_digest = ?, left_digest = ?,"
            f" ({LEFT}) = (?, ?, ?, ?, ?, ?, ?) WHERE path = ?",
            (placed.statement.file, placed.statement.line, placed.phase, native, left, *fields, key),
        )
        self._write_chain(key, placed.chain)

    def _native(self, placed: _Placed, past: _Past | None, left: str, *, as_placed: bool) -> str:
        """The digest behind the last native verb: as before if the verbs found nothing to do; otherwise a later step
        has changed the content since, and what the verb wrote is known only if the chain ends in a whole content."""
        if past is not None and not placed.changed:
            return past.row.native_digest
        if as_placed:
            return left
        return placed.chain[-1].digest if placed.phase is not Phase.APPEND else f"before {left}"

    def _write_chain(self, key: bytes, chain: Sequence[Content]) -> None:
        self._connection.execute("DELETE FROM link WHERE path = ?", (key,))
        self._connection.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, n, c.kind, c.digest, c.mode, c.uid, c.gid) for n, c in enumerate(chain)],
        )

    # --- inside ---

    def _begins_anew(self) -> bool:
        return self.anew or self._scope is Scope.FULL

    def _past(self, path: str) -> _Past | None:
        """The destination as the last evaluation of this source left it; asked first before this one changes it."""
        if path not in self._pasts:
            self._pasts[path] = self._read_past(path)
        return self._pasts[path]

    def _read_past(self, path: str) -> _Past | None:
        key = os.fsencode(path)
        found = self._connection.execute(
            f"SELECT native_digest, left_digest, {LEFT} FROM destination WHERE path = ? AND source = ?",
            (key, self._source),
        ).fetchone()
        links = self._connection.execute(
            "SELECT kind, digest, mode, uid, gid FROM link WHERE path = ? ORDER BY position", (key,)
        ).fetchall()
        if found is None or not links:
            return None
        chain = [Content(kind=k, digest=d, mode=m, uid=u, gid=g) for k, d, m, u, g in links]
        native, left_digest, mode, *_ = found
        if mode is not None:
            return _Past(row=row_of(found), chain=chain)
        now = lstat(path)  # the evaluation that placed it was cut short: it counts as left as it is
        left_digest = digest(path, now.mode) if now is not None else _REMOVED
        return _Past(row=Row(native or left_digest, left_digest, now), chain=chain)

    def _same_link(self, path: str, wanted: Content) -> bool:
        past, placed = self._past(path), self._placed.get(path)
        if past is None or (placed is not None and placed.diverged):
            return False
        position = len(placed.chain) if placed is not None else 0
        return position < len(past.chain) and past.chain[position] == wanted

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
