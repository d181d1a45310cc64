"""The evaluations of the past, as ``history`` tells them; the ledger keeps the last 1000."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nodeagent.ledger.database import Connection
from nodeagent.ledger.statements import commit_of
from nodeagent.model.evaluation import Commit, Scope, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEvaluation:
    """One evaluation. ``source`` is the repository's address or a ``directory:``; ``began`` in seconds since the epoch.

    ``finished``: post.sh came to its end. ``exit_status``, ``duration_usec`` and ``counts`` (by Change) are None while
    it is under way, and for ever when the agent was killed in it.
    """

    number: int
    source: str
    revision: str
    commit: Commit | None
    scope: Scope
    trigger: Trigger
    began: float
    finished: bool
    exit_status: int | None
    duration_usec: int | None
    counts: Mapping[str, int] | None


def evaluations(connection: Connection, limit: int) -> Sequence[PastEvaluation]:
    """The last evaluations, the newest first."""
    rows = connection.execute(
        "SELECT number, source.name, revision, scope, trigger, began, evaluation.finished, exit_status, duration_usec,"
        " counts FROM evaluation JOIN source ON source.id = source ORDER BY number DESC LIMIT ?",
        (limit,),
    ).fetchall()
    commits: dict[str, Commit | None] = {}
    for row in rows:
        if row[2] not in commits:
            commits[row[2]] = commit_of(connection, row[2])
    return [
        PastEvaluation(
            number=row[0],
            source=row[1],
            revision=row[2],
            commit=commits[row[2]],
            scope=Scope(row[3]),
            trigger=Trigger(row[4]),
            began=row[5],
            finished=bool(row[6]),
            exit_status=row[7],
            duration_usec=row[8],
            counts=json.loads(row[9]) if row[9] is not None else None,
        )
        for row in rows
    ]
