"""What became of a source's revisions and steps."""

import json
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from nodeagent.ledger import accepted, changes
from nodeagent.ledger.database import Connection
from nodeagent.model.evaluation import Attempt, Revision, Scope, Trigger


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
    deferred: bool  # steps are due and wait for the node to be idle
    retries: bool  # a step that failed may be tried again by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The last evaluation that made every step due, and why it did; and the last that did so by ``--force``."""

    full: int
    trigger: Trigger | None
    forced: int


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
            " (SELECT scope FROM evaluation WHERE evaluation.source = source.id ORDER BY number DESC LIMIT 1),"
            " EXISTS (SELECT 1 FROM deferral d WHERE d.source = source.id),"
            " EXISTS (SELECT 1 FROM attempt a WHERE a.source = source.id AND NOT succeeded AND retries > 0"
            " AND evaluation >= full_evaluation AND NOT EXISTS"
            " (SELECT 1 FROM deferral d WHERE (d.source, d.key, d.reach) = (a.source, a.key, a.reach)))"
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
            deferred=bool(row[10]),
            retries=bool(row[11]),
        )

    def is_rebuilt(self) -> bool:
        """Whether the ledger was begun anew after a damage, and no evaluation of the configured source ended since."""
        return bool(self._connection.execute("SELECT EXISTS (SELECT 1 FROM rebuilt)").fetchone()[0])

    def end_rebuilding(self) -> None:
        self._connection.execute("DELETE FROM rebuilt")

    def begin(self, revision: Revision, *, boot: str, scope: Scope, trigger: Trigger) -> int:
        """Note that an evaluation begins, on disk, before anything is touched; returns its number.

        A full evaluation makes steps due again that were tried before it.
        """
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute("BEGIN")
            accepted.end(connection, self.name, revision.commit)
            connection.execute(
                "INSERT INTO source (name, tree, commit_id, boot, finished, attempted, applied, ready_boot,"
                " last_finished, failed, pending) VALUES (?, ?, ?, ?, 0, ?, '', '', 0, '[]', '[]')"
                " ON CONFLICT (name) DO UPDATE SET tree = excluded.tree, commit_id = excluded.commit_id,"
                " boot = excluded.boot, finished = 0, attempted = excluded.attempted",
                (self.name, revision.tree, revision.commit, boot, str(revision)),
            )
            self._id = connection.execute("SELECT id FROM source WHERE name = ?", (self.name,)).fetchone()[0]
            number = connection.execute(
                "INSERT INTO evaluation (source, revision, scope, trigger, began) VALUES (?, ?, ?, ?, ?)",
                (self._id, str(revision), scope, trigger, time.time()),
            ).lastrowid
            if scope is Scope.FULL:
                connection.execute("UPDATE source SET full_evaluation = ? WHERE id = ?", (number, self._id))
            if trigger is Trigger.FORCE:
                connection.execute("UPDATE source SET forced_evaluation = ? WHERE id = ?", (number, self._id))
        connection.execute("PRAGMA synchronous = NORMAL")
        assert number is not None
        return number

    def renewal(self) -> Renewal:
        full, forced, trigger = self._connection.execute(
            "SELECT full_evaluation, forced_evaluation, trigger FROM source"
            " LEFT JOIN evaluation ON number = full_evaluation WHERE id = ?",
            (self.id,),
        ).fetchone()
        return Renewal(full=full, forced=forced, trigger=Trigger(trigger) if trigger else None)

    # --- steps ---

    def attempt(self, key: str, reach: int) -> Attempt | None:
        """The last one of a step."""
        row = self._connection.execute(
            "SELECT succeeded, exit_status, statement_status, evaluation, boot, tries, tick FROM attempt"
            " WHERE source = ? AND key = ? AND reach = ?",
            (self.id, key, reach),
        ).fetchone()
        if row is None:
            return None
        return Attempt(
            succeeded=bool(row[0]),
            exit_status=row[1],
            statement_status=row[2],
            evaluation=row[3],
            boot=row[4],
            tries=row[5],
            tick=row[6],
        )

    def record(self, key: str, reach: int, attempt: Attempt, *, label: str, retries: int) -> None:
        """Remember a step's attempt. ``retries``: how many its annotation allows."""
        left = 0 if attempt.succeeded else max(0, retries - attempt.tries + 1)
        connection = self._connection
        with connection:
            connection.execute("BEGIN")
            connection.execute(
                "INSERT OR REPLACE INTO attempt (source, key, reach, succeeded, exit_status, statement_status, label,"
                " evaluation, boot, tries, retries, tick) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self.id,
                    key,
                    reach,
                    attempt.succeeded,
                    attempt.exit_status,
                    attempt.statement_status,
                    label,
                    attempt.evaluation,
                    attempt.boot,
                    attempt.tries,
                    left,
                    attempt.tick,
                ),
            )
            connection.execute("DELETE FROM deferral WHERE source = ? AND key = ? AND reach = ?", (self.id, key, reach))

    def defer(self, key: str, reach: int, evaluation: int) -> bool:
        """Remember that a step waits for the node to be idle; returns whether it has just begun to."""
        known = self._connection.execute(
            "UPDATE deferral SET evaluation = ? WHERE source = ? AND key = ? AND reach = ?",
            (evaluation, self.id, key, reach),
        ).rowcount
        if not known:
            self._connection.execute("INSERT INTO deferral VALUES (?, ?, ?, ?)", (self.id, key, reach, evaluation))
        return not known

    def forget(self, keys: Set[str]) -> None:
        """Forget the steps of statements that are gone: all but these."""
        known = {row[0] for row in self._connection.execute("SELECT key FROM attempt WHERE source = ?", (self.id,))}
        self._connection.executemany(
            "DELETE FROM attempt WHERE source = ? AND key = ?", [(self.id, key) for key in known - keys]
        )
        self._connection.execute(
            "DELETE FROM editor WHERE source = ?1 AND key NOT IN (SELECT key FROM attempt WHERE source = ?1)",
            (self.id,),
        )

    def tick(self) -> int:
        """The count of changes now."""
        return changes.tick(self._connection)

    def changed_under(self, paths: Sequence[str], since: int) -> str:
        """What changed last at or under one of the paths since that count; empty: nothing did."""
        return changes.under(self._connection, paths, since)

    def failed_steps(self) -> list[str]:
        """``file:line command`` of the EXECUTE steps that are failed, in the order in which they ran."""
        rows = self._connection.execute(
            "SELECT label FROM attempt JOIN source ON source.id = attempt.source"
            " WHERE attempt.source = ? AND NOT succeeded AND evaluation >= full_evaluation ORDER BY evaluation, label",
            (self.id,),
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
            if settled:
                connection.execute("DELETE FROM deferral WHERE source = ? AND evaluation < ?", (self.id, number))
            if finished:
                connection.execute(
                    "UPDATE source SET applied = ?, last_finished = ?, ready_boot = ? WHERE id = ?",
                    (str(revision), number, boot, self.id),
                )
            connection.execute("DELETE FROM evaluation WHERE number <= (SELECT max(number) FROM evaluation) - 1000")
