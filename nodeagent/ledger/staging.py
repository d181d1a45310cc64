"""The directories in which something may stand under a temporary name, on record before it is made there.

After a kill the next evaluation finds it by them, also when nothing was ever placed in the directory and no statement
names it any more. A note is not waited for: of a power cut, not of a kill, a temporary may be left.
"""

import os
from collections.abc import Iterable

from nodeagent.ledger.database import Connection


def note(connection: Connection, directory: str) -> None:
    connection.execute("INSERT OR IGNORE INTO staging VALUES (?)", (os.fsencode(directory),))


def directories(connection: Connection) -> list[str]:
    return [os.fsdecode(row[0]) for row in connection.execute("SELECT directory FROM staging")]


def forget(connection: Connection, gone: Iterable[str]) -> None:
    """In these nothing of the kind stands."""
    with connection:
        connection.execute("BEGIN")
        connection.executemany("DELETE FROM staging WHERE directory = ?", [(os.fsencode(name),) for name in gone])
