"""What became of a source's revisions and steps."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodeagent.ledger.database import Connection
from nodeagent.model import Revision, Scope, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """The last evaluation's outcome; printed revisions are empty until there is one."""

    tree: str
    commit: str
    boot: str
    finished: bool
    adopting: bool
    attempted: str
    applied: str
    ready_boot: str
    failed: Sequence[str]
    pending: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    succeeded: bool
    exit_status: int
    statement_status: int


class Source:
    """One repository (or ``--repo`` directory) in the ledger."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self.name = name
        row = connection.execute("SELECT id FROM source WHERE name = ?", (name,)).fetchone()
        self._id: int | None = row[0] if row else None

    @property
    def id(self) -> int:
        assert self._id is not None, "no evaluation of this source has begun"
        return self._id

    def state(self) -> SourceState | None:
        """None when no evaluation of this source ever began."""
        row = self._connection.execute(
            "SELECT tree, commit_id, boot, finished, attempted, applied, ready_boot, failed, pending,"
            " (SELECT scope FROM evaluation WHERE evaluation.source = source.id ORDER BY number DESC LIMIT 1)"
            " FROM source WHERE name = ?",
            (self.name,),
        ).fetchone()
        if row is None:
            return None
        return SourceState(
            tree=row[0],
            commit=row[1],
            boot=row[2],
            finished=bool(row[3]),
            adopting=row[9] == Scope.ADOPT,
            attempted=row[4],
            applied=row[5],
            ready_boot=row[6],
            failed=tuple(json.loads(row[7])),
            pending=tuple(json.loads(row[8])),
        )

    def begin(self, revision: Revision, *, boot: str, scope: Scope, trigger: Trigger) -> int:
        """Note that an evaluation begins, on disk, before anything is touched; returns its number.

        A full evaluation makes every step due again: what had succeeded or failed before counts no more.
        """
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO source (name, tree, commit_id, boot, finished, attempted, applied, ready_boot,"
                " last_finished, failed, pending) VALUES (?, ?, ?, ?, 0, ?, '', '', 0, '[]', '[]')"
                " ON CONFLICT (name) DO UPDATE SET tree = excluded.tree, commit_id = excluded.commit_id,"
                " boot = excluded.boot, finished = 0, attempted = excluded.attempted",
                (self.name, revision.tree, revision.commit, boot, str(revision)),
            )
            self._id = connection.execute("SELECT id FROM source WHERE name = ?", (self.name,)).fetchone()[0]
            if scope is Scope.FULL:
                connection.execute("DELETE FROM attempt WHERE source = ?", (self._id,))
            number = connection.execute(
                "INSERT INTO evaluation (source, revision, scope, trigger, began) VALUES (?, ?, ?, ?, ?)",
                (self._id, str(revision), scope, trigger, time.time()),
            ).lastrowid
        connection.execute("PRAGMA synchronous = NORMAL")
        assert number is not None
        return number

    def attempt(self, key: str, reach: int) -> AttemptRecord | None:
        row = self._connection.execute(
            "SELECT succeeded, exit_status, statement_status FROM attempt WHERE source = ? AND key = ? AND reach = ?",
            (self.id, key, reach),
        ).fetchone()
        return AttemptRecord(succeeded=bool(row[0]), exit_status=row[1], statement_status=row[2]) if row else None

    def record(self, key: str, reach: int, attempt: AttemptRecord, *, label: str, evaluation: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                key,
                reach,
                attempt.succeeded,
                attempt.exit_status,
                attempt.statement_status,
                label,
                evaluation,
            ),
        )

    def failed_steps(self) -> list[str]:
        """``file:line command`` of the EXECUTE steps that are failed, in the order in which they ran."""
        rows = self._connection.execute(
            "SELECT label FROM attempt WHERE source = ? AND NOT succeeded ORDER BY evaluation, label", (self.id,)
        )
        return [row[0] for row in rows]

    def settle(self, tree: str) -> None:
        """Take a tree that the evaluation's own steps have changed (``chmod +x postscripts/*``) for the one it had."""
        self._connection.execute("UPDATE source SET tree = ? WHERE id = ?", (tree, self.id))

    def finish(
        self,
        number: int,
        revision: Revision,
        *,
        boot: str,
        exit_status: int,
        finished: bool,
        settled: bool,
        counts: Mapping[str, int],
        duration_usec: int,
        failed: Sequence[str],
        pending: Sequence[str],
    ) -> None:
        """Note how the evaluation ended.

        ``finished``: post.sh came to its end. ``settled``: nothing is gained by going on with it at once (it came to
        its end, or a time limit ended it).
        """
        connection = self._connection
        with connection:
            connection.execute("BEGIN")
            connection.execute(
                "UPDATE evaluation SET duration_usec = ?, exit_status = ?, finished = ?, counts = ? WHERE number = ?",
                (duration_usec, exit_status, finished, json.dumps(dict(counts)), number),
            )
            connection.execute(
                "UPDATE source SET finished = ?, failed = ?, pending = ? WHERE id = ?",
                (settled, json.dumps(list(failed)), json.dumps(list(pending)), self.id),
            )
            if finished:
                connection.execute(
                    "UPDATE source SET applied = ?, last_finished = ?, ready_boot = ? WHERE id = ?",
                    (str(revision), number, boot, self.id),
                )
            connection.execute("DELETE FROM evaluation WHERE number <= (SELECT max(number) FROM evaluation) - 1000")
