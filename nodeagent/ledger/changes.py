"""When native verbs changed what: the ledger's count of changes, which ``on=`` asks for.

A change is counted before it is made. Whoever is killed in between leaves a step due that need not be, never one undone
that should be.
"""

import os
from collections.abc import Sequence

from nodeagent.ledger.database import Connection


def note(connection: Connection, *paths: str) -> None:
    """The paths are about to change, or have just been made."""
    now = tick(connection) + 1
    connection.executemany("INSERT OR REPLACE INTO change VALUES (?, ?)", [(os.fsencode(path), now) for path in paths])


def tick(connection: Connection) -> int:
    """The count now; 0 before the first change."""
    return int(connection.execute("SELECT coalesce(max(tick), 0) FROM change").fetchone()[0])


def made_to(connection: Connection, path: str, since: int) -> bool:
    """Whether the path itself has been changed since the count ``since``."""
    row = connection.execute("SELECT tick FROM change WHERE path = ?", (os.fsencode(path),)).fetchone()
    return row is not None and row[0] > since


def under(connection: Connection, paths: Sequence[str], since: int) -> str:
    """What changed last at or under one of the paths, after the count ``since``; empty: nothing did.

    A path is meant as it is written, and as its links lead.
    """
    last: tuple[int, bytes] = (since, b"")
    for name in dict.fromkeys([*paths, *map(os.path.realpath, paths)]):
        at = os.fsencode(name.rstrip("/"))
        found = connection.execute(
            "SELECT tick, path FROM change WHERE tick > ? AND (path = ? OR (path > ? AND path < ?))"
            " ORDER BY tick DESC LIMIT 1",
            (last[0], at, at + b"/", at + b"0"),  # "0" comes behind "/"
        ).fetchone()
        last = found or last
    return os.fsdecode(last[1])
