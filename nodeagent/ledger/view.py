"""The ledger as the native verbs see it in one evaluation (:class:`nodeagent.model.destinations.Destinations`).

The verbs on one destination are a chain: each asks what the verb at its place wanted the last time. What a verb has
done is written down before the next one begins, so that after a crash the node is known as the crash left it: a mode or
an edit that a later step had given a file is not taken back when that step, which is done, will not run again.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from nodeagent.ledger import changes, merged, rows, staging, statements
from nodeagent.ledger.chain import ADDING, Placed
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import ABSENT, digest, leave, lstat
from nodeagent.ledger.editors import Editors
from nodeagent.ledger.kept import Kept
from nodeagent.ledger.pasts import REMOVED, Pasts
from nodeagent.ledger.rulings import Rule, Rulings
from nodeagent.ledger.undo import undone
from nodeagent.model.destinations import MERGED, Block, Content, Entry, Ruling, Stat, Treatment
from nodeagent.model.evaluation import Change, Phase, Scope, Statement


class View:
    """Set ``statement`` before each verb, call :meth:`flush` after it.

    ``anew``: what edits the verb's destination runs in every evaluation, so that the verb has to put its text first.
    ``rule`` says what becomes of one that steps edit; ``waiting`` are those whose new text is not placed for it.
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
        editors: Editors,
        rule: Rule,
    ) -> None:
        self._connection = connection
        self._source = source
        self._evaluation = evaluation
        self._scope = scope
        self._kept = kept
        self._placed: dict[str, Placed] = {}
        self._untouched: dict[str, Statement] = {}  # what else was placed: by one verb, which found it as it was left
        self._unwritten: dict[str, None] = {}
        self._staging: set[str] = set()
        self._pasts = Pasts(connection, source)
        self._past = self._pasts.find
        self._undone = undone(connection)
        self._revision = statements.revision_of(connection, evaluation)
        self._spared = spared
        self._editors = editors
        self._rulings = Rulings(editors, rule)
        self._stood: set[str] = set()
        self.waiting: dict[str, Ruling] = {}
        self.statement: Statement | None = None
        self.anew = False

    # --- asked by the verbs ---

    def untouched(self, path: str, there: os.stat_result, *, read: bytes, mode: int, uid: int, gid: int) -> bool:
        assert self.statement is not None
        known = self._placed, self._untouched, self._undone, self._spared, self._editors.paths
        asked = (mode, uid, gid, read)
        if any(path in paths for paths in known) or not self._pasts.is_untouched(path, Stat.of(there), asked):
            return False
        self._untouched[path] = self.statement
        self._editors.placed(path, written=False, edited=False)
        return True

    def settled(self, path: str, wanted: Content) -> bool:
        if path in self._undone or path in self._spared:
            return True
        now, placed = lstat(path), self._placed_at(path)
        if placed is not None:
            placed.edited |= not placed.is_as_placed(now)
        past = self._past(path)
        if past is not None and self.stands(path, wanted):
            return past.row.still_there(path, now)
        if past is None or self._is_rewritten(path) or not self._same_link(path, wanted):
            return False
        if self._begins_anew(path) and past.is_edited():
            return False  # a later step edits it: it is to start from the verb's own text
        return past.row.still_there(path, now)

    def left(self, path: str, wanted: Content) -> Content | None:
        past = self._past(path)
        if past is None:
            return None
        if self.stands(path, wanted) or self._same_link(path, wanted):
            return past.row.content()
        return past.dressed(wanted) if self._rulings.treatment(path) is Treatment.DRESSED else None

    def left_absent(self, path: str) -> bool:
        if path in self._undone or path in self._spared:
            return lstat(path) is None  # what was put back there is settled
        past = self._past(path)
        absent = past is not None and past.row.left is None and not self._begins_anew(path)
        return absent and not self._is_rewritten(path)

    def edited(self, path: str) -> bool:
        past = self._past(path)
        if past is None:
            return False
        asked = self.anew or not self._rulings.is_open(path)
        if asked and (self._begins_anew(path) or self._is_rewritten(path)):
            return False
        return past.is_edited()

    def stands(self, path: str, wanted: Content) -> bool:
        if path not in self._editors.paths or self.anew or path in self._undone or path in self._spared:
            return False
        past = self._past(path)
        if past is None or past.row.left is None:
            return False
        changed = not self._same_link(path, wanted)
        if not self.only_appended(path):
            self._rulings.ask(path, changed=changed, edited=past.is_edited())
        return self._rulings.stands(path, changed=changed) is not None

    def copy_of(self, content: Content) -> Path | None:
        return self._kept.find(content.digest)

    def only_appended(self, path: str) -> bool:
        past = self._past(path)
        texts = {hashlib.sha256(text).hexdigest() for text in (b"", *(block.text for block in self.blocks(path)))}
        return past is None or all(w.digest in texts or w.digest.startswith(MERGED) for w in past.chain)

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change, *, read: bytes = b"") -> None:
        assert self.statement is not None
        if path in self._undone:
            return
        if path in self._spared:  # how it was left stays on record: it is still drift
            rows.touch(self._connection, [(path, self.statement)], evaluation=self._evaluation)
            return
        changed = not self._same_link(path, wanted)
        if (ruling := self._rulings.stands(path, changed=changed)) is not None:
            if changed:
                self.waiting[path] = ruling
            rows.touch(self._connection, [(path, self.statement)], evaluation=self._evaluation)
            self._stood.add(path)
            return
        placed = self._placed_at(path)
        if placed is None:
            placed = self._placed[path] = Placed(self.statement, phase)
        placed.statement, placed.phase = self.statement, phase
        placed.diverged |= changed
        placed.chain.append(wanted)
        placed.reads.append(read)
        placed.created |= change is Change.CREATED and self._past(path) is None
        if change in (Change.CREATED, Change.UPDATED):
            placed.as_left = self.edited(path) and not placed.diverged
            placed.changed = True
        placed.stat = lstat(path)
        if placed.changed and phase in ADDING and placed.stat is not None:
            placed.digest = digest(path, placed.stat.mode)
        past = self._past(path)
        self._editors.placed(path, written=placed.changed, edited=past is not None and past.is_edited())
        self._unwritten[path] = None

    def staging(self, directory: str) -> None:
        if directory not in self._staging:
            staging.note(self._connection, directory)
            self._staging.add(directory)

    def keep(self, path: str) -> None:
        self.staging(os.path.dirname(path))
        found = lstat(path)
        if found is not None or self._past(path) is not None:  # what is quite new is noted when it is written down
            changes.note(self._connection, path)
        if found is None or self._placed_at(path) is not None:
            return
        key = os.fsencode(path)
        known = self._connection.execute(
            "SELECT 1 FROM kept WHERE path = ? UNION SELECT 1 FROM destination WHERE path = ?", (key, key)
        ).fetchone()
        past = self._past(path)
        others = past is not None and past.row.left is None  # it has come where nothing was left
        if known and not others:
            if self._takes_over(path):
                ours = self.blocks(path), self.entries(path)
                self._kept.note_rest(self._connection, path, found, *ours, evaluation=self._evaluation)
            return
        self._kept.note(self._connection, path, found, evaluation=self._evaluation)

    def blocks(self, path: str) -> Sequence[Block]:
        return statements.blocks(self._connection, os.fsencode(path))

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
        written = [(path, self._placed[path], self._past(path)) for path in self._unwritten]
        self._unwritten.clear()
        written = [(path, placed, past) for path, placed, past in written if not placed.repeats(past)]
        if not written:
            return
        with self._connection:
            self._connection.execute("BEGIN")
            changes.note(self._connection, *(p for p, placed, past in written if past is None or placed.changed))
            rows.write_placed(
                self._connection,
                written,
                source=self._source,
                evaluation=self._evaluation,
                revision=self._revision,
            )
            rows.write_chains(self._connection, [(path, placed) for path, placed, _ in written])

    def finish(self) -> None:
        """Record every destination as the evaluation leaves it."""
        for path in [path for path in self._untouched if not self._pasts.is_as_left(path, lstat(path))]:
            self._placed_at(path)  # a later step has changed it, or another verb is not there any more
        same, left, chains = [*self._untouched.items()], [], []
        for path, placed in self._placed.items():
            now, past = lstat(path) or ABSENT, self._past(path)
            if past is not None and placed.repeats(past):
                if (placed.chain, placed.reads) != (past.chain, past.reads):
                    chains.append((path, placed))
                if now == past.row.left and not (past.cut_short or placed.edited):
                    same.append((path, placed.statement))
                    continue
            left.append((path, placed, *self._digests(path, placed, now), now))
        with self._connection:
            self._connection.execute("BEGIN")
            rows.touch(self._connection, same, evaluation=self._evaluation)
            rows.write_left(self._connection, left, evaluation=self._evaluation)
            rows.write_chains(self._connection, chains)
            for path in self._stood - self._placed.keys():
                self._keep_edited(path)  # a step that is not known to may have edited it all the same
                leave(self._connection, path)
        self._kept.collect(self._connection)

    def _digests(self, path: str, placed: Placed, now: Stat) -> tuple[str, str]:
        """Of what stood there behind the last native verb, and of what stands there now; another one is kept."""
        past = self._past(path)
        if now == ABSENT:  # a later step removed it
            native, left = placed.chain[-1].digest, REMOVED
        elif past is not None and now == past.row.left:
            native, left = past.row.native_digest, past.row.left_digest
        else:
            left = placed.digest_as_placed(now) or digest(path, now.mode)
            native = placed.native(past, left, as_placed=placed.is_as_placed(now))
        if placed.edited:
            native = f"edited between verbs, then {left}"
        if native != left and stat.S_ISREG(now.mode) and self._kept.find(left) is None:
            self._keep_edited(path)
        return native, left

    def _keep_edited(self, path: str) -> None:
        with contextlib.suppress(OSError):  # then a repair says that it is not there
            self._kept.keep(path)

    # --- inside ---

    def _takes_over(self, path: str) -> bool:
        """Whether a file that is others' but for what was added to it is to be nodeagent's as a whole."""
        assert self.statement is not None
        return self.statement.phase not in ADDING and self._past(path) is not None and self.only_appended(path)

    def _begins_anew(self, path: str) -> bool:
        return self.anew or self._rulings.begins_anew(path, full=self._scope is Scope.FULL)

    def _placed_at(self, path: str) -> Placed | None:
        """What this evaluation did to a destination so far."""
        by = self._untouched.pop(path, None)
        past = self._past(path) if by is not None else None
        if by is not None and past is not None:
            placed = Placed(by, Phase.COPY, chain=[past.chain[0]], reads=[past.reads[0]], stat=past.row.left)
            self._placed[path] = placed
        return self._placed.get(path)

    def _is_rewritten(self, path: str) -> bool:
        """Whether a verb of this evaluation has written something else than what the last one left."""
        placed = self._placed_at(path)
        return placed is not None and placed.changed and not placed.as_left

    def _same_link(self, path: str, wanted: Content) -> bool:
        past, placed = self._past(path), self._placed_at(path)
        if past is None or (placed is not None and placed.diverged):
            return False
        position = len(placed.chain) if placed is not None else 0
        return position < len(past.chain) and past.chain[position] == wanted
