"""What ``undo`` does with one path, and that it stays undone. :func:`decide` is pure."""

import enum
import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodeagent.ledger import changes
from nodeagent.ledger.database import Connection
from nodeagent.ledger.origin import Before, Known


class Deed(enum.Enum):
    """What is done to a path, in words that begin "was ..."."""

    RESTORE = "put back as it was before nodeagent"
    REMOVE = "removed: nothing stood there before nodeagent"
    TAKE_OUT = "rid of what nodeagent added"
    FORGET = "left as it is"
    REFUSE = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``reason`` explains FORGET and REFUSE."""

    deed: Deed
    reason: str = ""


def decide(known: Known, *, changed: Sequence[str], there: bool, force: bool) -> Verdict:  # noqa: PLR0911 - a table
    """Decide on one path.

    Args:
        known: What the ledger knows of it.
        changed: How it differs from what the last evaluation left.
        there: Something stands at the path.
        force: What was changed since is to be lost.
    """
    placed, before = known.placed, known.before
    own = any(not one.block.adopted for one in known.blocks) or any(e.former != e.text for e in known.entries)
    if placed is not None and placed.only_appended:
        if not own:
            return Verdict(deed=Deed.FORGET, reason="nodeagent added nothing to it that did not stand there before")
        if not there:
            return Verdict(deed=Deed.FORGET, reason="it is gone")
        return Verdict(deed=Deed.TAKE_OUT)
    if before is not None and (unkept := _not_kept(before)):
        return Verdict(deed=Deed.REFUSE, reason=unkept)
    if placed is None:
        if there and not force:
            return Verdict(deed=Deed.REFUSE, reason="something else stands there by now: --force replaces it")
        return Verdict(deed=Deed.RESTORE)
    if before is None and not there:
        return Verdict(deed=Deed.FORGET, reason="it is gone")
    if changed and not force:
        return Verdict(deed=Deed.REFUSE, reason=f"{'; '.join(changed)}: --force loses that")
    if before is not None:
        return Verdict(deed=Deed.RESTORE)
    if placed.created:
        return Verdict(deed=Deed.REMOVE)
    return Verdict(deed=Deed.FORGET, reason="it stood there before nodeagent, as post.sh wants it")


def _not_kept(before: Before) -> str:
    if stat.S_ISREG(before.content.kind) and before.copy is None:
        return "what stood there was larger than ledger.keep_bytes, and no copy was kept"
    if before.content.kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
        return "what stood there was no file, link or directory, and was not kept"
    return ""


def paths_of(connection: Connection, source: int) -> list[str]:
    """All that a source has placed, and what it has replaced or removed for good."""
    rows = connection.execute(
        "SELECT path FROM destination WHERE source = ?"
        " UNION SELECT kept.path FROM kept JOIN evaluation ON number = kept.evaluation WHERE source = ?"
        " AND path NOT IN (SELECT path FROM destination)",
        (source, source),
    )
    return [os.fsdecode(row[0]) for row in rows]


def paths_at(connection: Connection, path: str) -> list[str]:
    """What is known at a path and below it."""
    key = os.fsencode(path)
    begin, end = key.rstrip(b"/") + b"/", key.rstrip(b"/") + b"0"  # "0" follows "/"
    rows = connection.execute(
        "SELECT path FROM destination WHERE path = ?1 OR (path >= ?2 AND path < ?3)"
        " UNION SELECT path FROM kept WHERE path = ?1 OR (path >= ?2 AND path < ?3)",
        (key, begin, end),
    )
    return [os.fsdecode(row[0]) for row in rows]


def source_of(connection: Connection, path: str) -> int:
    """Whose a known path is."""
    row = connection.execute(
        "SELECT source FROM destination WHERE path = ?1"
        " UNION ALL SELECT source FROM kept JOIN evaluation ON number = kept.evaluation WHERE path = ?1"
        " UNION ALL SELECT max(id) FROM source",  # what replaced it is so long ago that it is not remembered
        (os.fsencode(path),),
    ).fetchone()
    return int(row[0])


def forget(connection: Connection, path: str, *, hold: int | None) -> None:
    """Nodeagent has nothing at this path any more; with a source to hold, that one is to leave it alone."""
    key = os.fsencode(path)
    with connection:
        connection.execute("BEGIN")
        changes.note(connection, path)
        for table in ("link", "block", "entry", "editor", "kept", "repair", "reported", "destination"):
            connection.execute(f"DELETE FROM {table} WHERE path = ?", (key,))
        if hold is not None:
            connection.execute("INSERT OR REPLACE INTO undone VALUES (?, ?, ?)", (key, hold, time.time()))


def undone(connection: Connection) -> frozenset[str]:
    """The paths that nodeagent leaves alone."""
    return frozenset(os.fsdecode(row[0]) for row in connection.execute("SELECT path FROM undone"))


def redo(connection: Connection, paths: Iterable[str]) -> Sequence[str]:
    """Let nodeagent have these paths, and what is below them, again; returns those that it had left alone.

    The next cycle of their sources repairs them.
    """
    found: list[str] = []
    with connection:
        connection.execute("BEGIN")
        for held in undone(connection):
            if any(held == path or held.startswith(path.rstrip("/") + "/") for path in paths):
                key = os.fsencode(held)
                connection.execute(
                    "UPDATE source SET finished = 0 WHERE id = (SELECT source FROM undone WHERE path = ?)", (key,)
                )
                connection.execute("DELETE FROM undone WHERE path = ?", (key,))
                found.append(held)
    return found


def withdraw(connection: Connection, source: int) -> None:
    """Everything of a source is undone: until it is asked for again, its cycles touch nothing."""
    with connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM undone WHERE source = ?", (source,))
        connection.execute("INSERT OR IGNORE INTO withdrawn VALUES (?)", (source,))


def is_withdrawn(connection: Connection, source: int) -> bool:
    return connection.execute("SELECT 1 FROM withdrawn WHERE source = ?", (source,)).fetchone() is not None


def resume(connection: Connection, source: int) -> None:
    """The source is asked for again."""
    connection.execute("DELETE FROM withdrawn WHERE source = ?", (source,))
