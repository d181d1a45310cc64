"""Commits that a person has accepted although they do not descend from the one at which the node stood.

An acceptance holds until the node takes its next revision, whichever that is: it is not a way back for ever.
"""

import time
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
