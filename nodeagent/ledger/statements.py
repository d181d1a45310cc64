"""Which statement, of which commit, put a destination or a block there: what ``why`` tells and prune asks."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from nodeagent.ledger.database import Connection
from nodeagent.model.destinations import Block
from nodeagent.model.evaluation import Commit, Statement


def remember_commit(connection: Connection, commit: str, origin: Commit) -> None:
    """Note who made a commit; of those that nothing in the ledger names any more, nothing stays."""
    connection.execute(
        "INSERT OR REPLACE INTO commit_seen VALUES (?, ?, ?, ?)",
        (commit, origin.author, origin.authored, origin.subject),
    )
    connection.execute(
        "DELETE FROM commit_seen WHERE commit_id <> ? AND commit_id NOT IN ("
        " SELECT substr(revision, -40) FROM evaluation UNION SELECT substr(revision, -40) FROM destination"
        " UNION SELECT substr(revision, -40) FROM block)",
        (commit,),
    )


def commit_of(connection: Connection, revision: str) -> Commit | None:
    """Who made the commit of a printed revision, if that is known."""
    row = connection.execute(
        "SELECT author, authored, subject FROM commit_seen WHERE commit_id = ?", (revision.rpartition(":")[2],)
    ).fetchone()
    return Commit(author=row[0], authored=row[1], subject=row[2]) if row else None


def remember(connection: Connection, source: int, evaluation: int, statements: Iterable[Statement]) -> None:
    """Note the program that an evaluation runs. One that is gone stays known while something of it stands."""
    with connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT OR REPLACE INTO statement VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(source, s.key, s.file, s.line, s.text, evaluation, s.annotation.prune) for s in statements],
        )
        connection.execute(
            "DELETE FROM statement WHERE source = ? AND evaluation <> ? AND key NOT IN ("
            " SELECT statement FROM destination UNION SELECT statement FROM block UNION SELECT statement FROM entry)",
            (source, evaluation),
        )


def revision_of(connection: Connection, evaluation: int) -> str:
    """The printed revision that an evaluation is of."""
    return str(connection.execute("SELECT revision FROM evaluation WHERE number = ?", (evaluation,)).fetchone()[0])


def block_of(values: Sequence[object]) -> Block:
    """A block from its columns: statement, text, adopted, continues."""
    statement, text, adopted, continues = values
    assert isinstance(text, bytes)
    return Block(statement=str(statement), text=text, adopted=bool(adopted), continues=bool(continues))


def blocks(connection: Connection, path: bytes) -> Sequence[Block]:
    """A destination's blocks, in the order of the file."""
    rows = connection.execute(
        "SELECT statement, text, adopted, continues FROM block WHERE path = ? ORDER BY position", (path,)
    )
    return [block_of(row) for row in rows]


def write_blocks(connection: Connection, path: bytes, blocks: Sequence[Block], *, source: int, evaluation: int) -> None:
    """Replace a destination's blocks, within the caller's transaction; those that stay keep their origin."""
    known = defaultdict(list)
    for *what, owner, revision, written in connection.execute(
        "SELECT statement, text, adopted, source, revision, written FROM block WHERE path = ? ORDER BY position",
        (path,),
    ):
        known[tuple(what)].append((owner, revision, written))
    now = (source, revision_of(connection, evaluation), time.time())
    rows = []
    for position, block in enumerate(blocks):
        origins = known[block.statement, block.text, int(block.adopted)]
        origin = origins.pop(0) if origins else now
        rows.append((path, position, block.statement, block.text, block.adopted, *origin, block.continues))
    connection.execute("DELETE FROM block WHERE path = ?", (path,))
    connection.executemany("INSERT INTO block VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
