"""The ledger as the native verbs see it in one evaluation (:class:`nodeagent.model.Destinations`).

The verbs on one destination are a chain: each asks what the verb at its place wanted the last time. What a verb has
done is written down before the next one begins, so that after a crash the node is known as the crash left it: a mode or
an edit that a later step had given a file is not taken back when that step, which is done, will not run again.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from nodeagent.ledger import changes, merged, staging, statements
from nodeagent.ledger.chain import ADDING, Past, Placed
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import ABSENT, LEFT, Row, digest, lstat, row_of
from nodeagent.ledger.kept import Kept
from nodeagent.ledger.undo import undone
from nodeagent.model import MERGED, Block, Change, Content, Entry, Phase, Scope, Statement

_REMOVED = "removed"  # in the place of a digest


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
        kept: Kept,
        spared: frozenset[str],
    ) -> None:
        self._connection = connection
        self._source = source
        self._evaluation = evaluation
        self._scope = scope
        self._kept = kept
        self._placed: dict[str, Placed] = {}
        self._unwritten: set[str] = set()
        self._staging: set[str] = set()
        self._pasts: dict[str, Past | None] = {}
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
        if past is None or self._is_rewritten(path) or not self._same_link(path, wanted):
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
        past = self._past(path)
        absent = past is not None and past.row.left is None and not self._begins_anew()
        return absent and not self._is_rewritten(path)

    def edited(self, path: str) -> bool:
        past = self._past(path)
        if past is None or past.row.left is None or self._begins_anew() or self._is_rewritten(path):
            return False
        return past.row.left_digest != past.row.native_digest

    def copy_of(self, content: Content) -> Path | None:
        return self._kept.find(content.digest)

    def only_appended(self, path: str) -> bool:
        past = self._past(path)
        texts = {hashlib.sha256(text).hexdigest() for text in (b"", *(block.text for block in self.blocks(path)))}
        return past is None or all(w.digest in texts or w.digest.startswith(MERGED) for w in past.chain)

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change) -> None:
        assert self.statement is not None
        if path in self._undone:
            return
        if path in self._spared:  # how it was left stays on record: it is still drift
            self._touch(path, self.statement)
            return
        placed = self._placed.setdefault(path, Placed(self.statement, phase))
        placed.statement, placed.phase = self.statement, phase
        placed.diverged |= not self._same_link(path, wanted)
        placed.chain.append(wanted)
        placed.created |= change is Change.CREATED and self._past(path) is None
        if change in (Change.CREATED, Change.UPDATED):
            placed.as_left = self.edited(path) and not placed.diverged
            placed.changed = True
        placed.stat = lstat(path)
        if placed.changed and phase in ADDING and placed.stat is not None:
            placed.digest = digest(path, placed.stat.mode)
        self._unwritten.add(path)

    def staging(self, directory: str) -> None:
        if directory not in self._staging:
            staging.note(self._connection, directory)
            self._staging.add(directory)

    def keep(self, path: str) -> None:
        self.staging(os.path.dirname(path))
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
        content = self._kept.keep(path) if stat.S_ISREG(found.mode) else digest(path, found.mode)
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
            "SELECT statement, text, adopted, continues FROM block WHERE path = ? ORDER BY position",
            (os.fsencode(path),),
        )
        return [statements.block_of(row) for row in rows]

    def appended(self, path: str, blocks: Sequence[Block]) -> None:
        key = os.fsencode(path)
        with self._connection:
            self._connection.execute("BEGIN")
            statements.write_blocks(self._connection, key, blocks, source=self._source, evaluation=self._evaluation)

    def entries(self, path: str) -> Sequence[Entry]:
        return merged.entries(self._connection, os.fsencode(path))

    def merged(self, path: str, entries: Sequence[Entry]) -> None:
        merged.write(self._connection, os.fsencode(path), entries)

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
        self._kept.collect(self._connection)

    def _flush_one(self, path: str, placed: Placed) -> None:
        key = os.fsencode(path)
        past = self._past(path)
        if past is not None and not placed.changed and list(past.chain[: len(placed.chain)]) == placed.chain:
            self._touch(path, placed.statement)
            return
        if past is None or placed.changed:
            changes.note(self._connection, path)
        native = placed.written(past)
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

    def _finish_one(self, path: str, placed: Placed) -> None:
        key = os.fsencode(path)
        now = lstat(path)
        past = self._past(path)
        if now is None:  # a later step removed it
            native, left, now = placed.chain[-1].digest, _REMOVED, ABSENT
        elif past is not None and now == past.row.left:
            native, left = past.row.native_digest, past.row.left_digest
        else:
            left = digest(path, now.mode)
            native = placed.native(past, left, as_placed=placed.is_as_placed(now))
        if placed.edited:
            native = f"edited between verbs, then {left}"
        if native != left and stat.S_ISREG(now.mode) and self._kept.find(left) is None:
            with contextlib.suppress(OSError):  # then a repair says that it is not there
                self._kept.keep(path)
        fields = (now.mode, now.uid, now.gid, now.size, now.mtime_ns, now.ctime_ns, now.inode)
        self._connection.execute(
            f"UPDATE destination SET file = ?, line = ?, phase = ?, native_digest = ?, left_digest = ?,"
            f" ({LEFT}) = (?, ?, ?, ?, ?, ?, ?) WHERE path = ?",
            (placed.statement.file, placed.statement.line, placed.phase, native, left, *fields, key),
        )
        self._write_chain(key, placed.chain)

    def _write_chain(self, key: bytes, chain: Sequence[Content]) -> None:
        self._connection.execute("DELETE FROM link WHERE path = ?", (key,))
        self._connection.executemany(
            "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, n, c.kind, c.digest, c.mode, c.uid, c.gid) for n, c in enumerate(chain)],
        )

    # --- inside ---

    def _begins_anew(self) -> bool:
        return self.anew or self._scope is Scope.FULL

    def _is_rewritten(self, path: str) -> bool:
        """Whether a verb of this evaluation has written something else than what the last one left."""
        placed = self._placed.get(path)
        return placed is not None and placed.changed and not placed.as_left

    def _past(self, path: str) -> Past | None:
        """The destination as the last evaluation of this source left it; asked first before this one changes it."""
        if path not in self._pasts:
            self._pasts[path] = self._read_past(path)
        return self._pasts[path]

    def _read_past(self, path: str) -> Past | None:
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
            return Past(row=row_of(found), chain=chain)
        now = lstat(path)  # the evaluation that placed it was cut short: it counts as left as it is
        left_digest = digest(path, now.mode) if now is not None else _REMOVED
        return Past(row=Row(native or left_digest, left_digest, now), chain=chain)

    def _same_link(self, path: str, wanted: Content) -> bool:
        past, placed = self._past(path), self._placed.get(path)
        if past is None or (placed is not None and placed.diverged):
            return False
        position = len(placed.chain) if placed is not None else 0
        return position < len(past.chain) and past.chain[position] == wanted
