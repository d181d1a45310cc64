"""What no step names any more: found, and judged whether it may go. The judgement (:func:`stays`) is pure.

A file that goes wrongly is worse than one that stays: whatever is not certain stays, and is told with its reason.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass

from nodeagent.ledger.database import Connection
from nodeagent.model.destinations import Block
from nodeagent.model.evaluation import Phase, Statement

_A_FEW = 10
_COPIERS = re.compile(r"\b(rsync|cp|install|tar|ln|mv|cpio|unzip|scp)\b")
_VARIABLE = re.compile(r"\$(?:\w+|\{[^}]*\}|.)")

NOT_REACHED = "its statement was not reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A destination, or a block of one, that no step of the evaluation named.

    ``statement`` is the key of the one that put it there. ``created``: nothing stood there before. ``changed`` says how
    it differs from what was left. ``permitted``: the statement did not say ``prune=no``. ``verbs``: how many statements
    made it what it is; the ledger knows the last.
    """

    path: str
    statement: str
    created: bool
    changed: Sequence[str]
    permitted: bool
    verbs: int = 1
    block: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What was evaluated.

    ``reached`` holds the keys of the statements that were reached, and done natively whenever they were. ``lines``
    gives those of post.sh and of the other programs of the tree, without comments; as the whole tree is read for them,
    they are asked for only where something may go.
    """

    statements: Sequence[Statement]
    reached: Set[str]
    lines: Callable[[], Sequence[str]]

    @property
    def native_lines(self) -> Set[str]:
        return {s.text for s in self.statements if s.phase is not Phase.EXECUTE}

    def waits(self, key: str) -> bool:
        """Whether the statement of that key is in the text and was not reached."""
        return key not in self.reached and any(s.key == key for s in self.statements)


def stays(orphan: Orphan, program: Program) -> str:
    """Why it stays; empty: it may go."""
    if program.waits(orphan.statement):
        return NOT_REACHED
    if not orphan.created and orphan.block is None:
        return "it stood there before nodeagent"
    if orphan.changed:
        return "; ".join(orphan.changed)
    if orphan.verbs > 1:
        return "several statements made it what it is"
    if not orphan.permitted:
        return "prune=no"
    if not orphan.statement:
        return "an earlier version of nodeagent placed it, and did not note by which statement"
    if orphan.block is not None:
        return _still_said(orphan.block, program)
    return _still_named(orphan.path, program)


def is_too_much(going: int, inventory: int) -> bool:
    """Whether so many of all that is known are more likely a mistake than a wish.

    A wrong branch or a post.sh cut short must not empty a node. A few go whatever their share: all of a small
    inventory is no proof of a mistake, and what goes is whole in the repository's history, so it is back at once.
    """
    return going > _A_FEW and 2 * going > inventory


def _still_said(block: Block, program: Program) -> str:
    """A text that some line of the tree still has may come from there by another way (``grep -q ... || echo``)."""
    first = next((line.strip() for line in os.fsdecode(block.text).split("\n") if line.strip()), "")
    found = next((line for line in program.lines() if first and first in line), None)
    return f"its text still stands in: {found.strip()}" if found is not None else ""


def _still_named(path: str, program: Program) -> str:
    """A path that the program names where it is not understood is perhaps placed by the shell now."""
    native = program.native_lines
    name = re.compile(rf"(?<![\w.-]){re.escape(os.path.basename(path))}(?![\w-])")
    for line in program.lines():
        if name.search(line) and not any(text in line for text in native):
            return f"it may still be named by: {line.strip()}"
    for statement in program.statements:
        if statement.phase is Phase.EXECUTE and _may_copy_to(path, statement.text):
            return f"it may still be placed by: {statement.text}"
    return ""


def _may_copy_to(path: str, text: str) -> bool:
    """Whether a command that copies has a directory above the path among its words; a variable may be any directory."""
    if not _COPIERS.search(text):
        return False
    above = os.path.dirname(path)
    parents = [above]
    while above not in {"/", ""}:
        above = os.path.dirname(above)
        parents.append(above)
    for word in text.split():
        tail = _VARIABLE.split(word.strip("\"'"))[-1].rstrip("/")
        variable = _VARIABLE.search(word) is not None
        if (variable and any(parent.endswith(tail) for parent in parents)) or (tail and tail in parents):
            return True
    return False


# --- asked of the ledger ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """``files`` are destinations that the evaluation did not touch; ``size`` counts all, and all appended blocks."""

    files: Sequence[str]
    directories: Sequence[str]
    blocks: Sequence[str]  # paths that have appended blocks
    size: int


def inventory(connection: Connection, source: int, evaluation: int) -> Inventory:
    rows = connection.execute(
        "SELECT path, left_mode FROM destination WHERE source = ? AND evaluation < ? ORDER BY path",
        (source, evaluation),
    ).fetchall()
    appended = connection.execute(
        "SELECT DISTINCT path FROM block WHERE source = ? AND NOT adopted AND statement <> ''", (source,)
    ).fetchall()
    (size,) = connection.execute(
        "SELECT (SELECT count(*) FROM destination WHERE source = ?1)"
        " + (SELECT count(*) FROM block WHERE source = ?1 AND NOT adopted AND statement <> '')",
        (source,),
    ).fetchone()
    return Inventory(
        files=[os.fsdecode(path) for path, mode in rows if mode is None or not stat.S_ISDIR(mode)],
        directories=[os.fsdecode(path) for path, mode in rows if mode is not None and stat.S_ISDIR(mode)],
        blocks=[os.fsdecode(row[0]) for row in appended],
        size=size,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The lines that a MERGE put into a file, and which statement it was; ``file`` is empty where that is not known."""

    path: str
    statement: str
    file: str
    line: int
    text: str
    entries: Sequence[bytes]


def merged(connection: Connection, source: int) -> list[Merged]:
    """What the MERGEs of a source, also those that are gone, have in files."""
    found: dict[tuple[bytes, str, str, int, str], list[bytes]] = {}
    for path, key, file, line, text, entry in connection.execute(
        "SELECT e.path, e.statement, coalesce(s.file, ''), coalesce(s.line, 0), coalesce(s.text, ''), e.text"
        " FROM entry e JOIN destination d ON d.path = e.path"
        " LEFT JOIN statement s ON s.source = d.source AND s.key = e.statement"
        " WHERE d.source = ? ORDER BY e.path, e.position",
        (source,),
    ):
        found.setdefault((path, key, file, line, text), []).append(entry)
    return [
        Merged(path=os.fsdecode(path), statement=key, file=file, line=line, text=text, entries=entries)
        for (path, key, file, line, text), entries in found.items()
    ]


def permits(connection: Connection, source: int, statement: str) -> bool:
    """Whether the statement, as it was when the program had it last, let what it placed be pruned."""
    row = connection.execute("SELECT prune FROM statement WHERE source = ? AND key = ?", (source, statement)).fetchone()
    return row is None or bool(row[0])


def told(connection: Connection, source: int, found: Iterable[str]) -> Sequence[str]:
    """Note what would be pruned and is not; returns what was not noted before. What is not found any more is forgotten.

    Each of ``found`` is a line for people.
    """
    lines = list(dict.fromkeys(found))
    before = {row[0] for row in connection.execute("SELECT text FROM orphan WHERE source = ?", (source,))}
    with connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM orphan WHERE source = ?", (source,))
        connection.executemany("INSERT INTO orphan VALUES (?, ?)", [(source, line) for line in lines])
    return [line for line in lines if line not in before]
