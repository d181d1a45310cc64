"""Commits that a person has accepted although they do not descend from the one at which the node stood.

An acceptance holds until the node takes its next revision, whichever that is: it is not a way back for ever.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.ledger.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """``former`` is where the node stood; commits in hex."""

    former: str
    commit: str
    reason: str
    who: str


def accept(connection: Connection, source: int, new: Acceptance) -> None:
    """Note an acceptance; one that still waited gives way to it."""
    now = time.time()
    with connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE accepted SET ended = ? WHERE source = ? AND ended IS NULL", (now, source))
        connection.execute(
            "INSERT INTO accepted (source, former, commit_id, reason, who, since) VALUES (?, ?, ?, ?, ?, ?)",
            (source, new.former, new.commit, new.reason, new.who, now),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAcceptance(Acceptance):
    """``source`` is the repository's address. ``since`` in seconds since the epoch; ``ended`` is when the next revision
    was taken, or None while it is waited for."""

    source: str
    since: float
    ended: float | None


def acceptances(connection: Connection, limit: int) -> Sequence[PastAcceptance]:
    """The last acceptances, the newest first."""
    rows = connection.execute(
        "SELECT former, accepted.commit_id, reason, who, name, since, ended FROM accepted"
        " JOIN source ON source.id = source ORDER BY accepted.id DESC LIMIT ?",
        (limit,),
    )
    return [
        PastAcceptance(former=former, commit=commit, reason=reason, who=who, source=source, since=since, ended=ended)
        for former, commit, reason, who, source, since, ended in rows
    ]


def waiting(connection: Connection, source: int) -> str:
    """The commit (hex) whose acceptance holds, or empty."""
    row = connection.execute("SELECT commit_id FROM accepted WHERE source = ? AND ended IS NULL", (source,)).fetchone()
    return str(row[0]) if row else ""


def end(connection: Connection, source: str, commit: str) -> None:
    """The source of that name takes a revision: if it is another one, the acceptance has done its work."""
    connection.execute(
        "UPDATE accepted SET ended = ? WHERE ended IS NULL"
        " AND source = (SELECT id FROM source WHERE name = ? AND commit_id <> ?)",
        (time.time(), source, commit),
    )
