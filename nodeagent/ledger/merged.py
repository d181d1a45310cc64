"""The entries that MERGEs put into a destination, and what stood in their place."""

from collections.abc import Sequence

from nodeagent.ledger.database import Connection
from nodeagent.model.destinations import Entry


def entries(connection: Connection, path: bytes) -> Sequence[Entry]:
    rows = connection.execute("SELECT statement, text, former FROM entry WHERE path = ? ORDER BY position", (path,))
    return [
        Entry(statement=row[0], text=bytes(row[1]), former=None if row[2] is None else bytes(row[2])) for row in rows
    ]


def write(connection: Connection, path: bytes, new: Sequence[Entry]) -> None:
    """Replace a destination's entries."""
    with connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM entry WHERE path = ?", (path,))
        connection.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
            [(path, position, one.statement, one.text, one.former) for position, one in enumerate(new)],
        )
