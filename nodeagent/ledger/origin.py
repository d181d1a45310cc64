"""What the ledger knows of one path: who put what there, what stood there before, and whether it is as it was left."""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.ledger import merged
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import ABSENT, LEFT, digest, lstat, stat_of
from nodeagent.ledger.statements import block_of, commit_of
from nodeagent.model.destinations import MERGED, Block, Content, Entry, Stat
from nodeagent.model.evaluation import Commit, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The statement that something stands for, and the revision under which it was written or found.

    ``written`` in seconds since the epoch; None: it stood there already, and was adopted. ``gone``: the program has no
    such statement any more; ``file`` and ``line`` are then those that it had last.
    """

    revision: str
    commit: Commit | None
    file: str
    line: int
    text: str
    gone: bool
    written: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What stood at a path before nodeagent. ``copy`` is the kept content of a regular file; None: it was not kept."""

    content: Content
    copy: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    block: Block
    author: Author


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A destination. ``created``: nothing stood there before.

    ``left`` is None while an evaluation is under way, and ABSENT where a later step of post.sh has removed it.
    """

    source: int
    phase: Phase
    author: Author
    statement: str  # its key
    evaluation: int
    created: bool
    verbs: int  # how many verbs made it, one after the other
    only_appended: bool  # or merged: the rest of it is somebody else's
    left: Stat | None
    left_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """``placed`` is None for what nodeagent replaced or removed, and does not place any more."""

    path: str
    placed: Placed | None
    before: Before | None
    blocks: Sequence[Appended]  # also stubs, the beginnings of somebody else's lines: those without a statement
    entries: Sequence[Entry] = ()


def find(connection: Connection, path: str, *, kept: Path) -> Known | None:
    """What is known of a path (absolute, resolved); None when nodeagent has nothing to do with it.

    ``kept`` is the directory of the kept copies.
    """
    key = os.fsencode(path)
    blocks = _blocks(connection, key)
    placed = _placed(connection, key, [appended.block for appended in blocks])
    before = _before(connection, key, kept)
    if placed is None and before is None:
        return None
    return Known(path=path, placed=placed, before=before, blocks=blocks, entries=merged.entries(connection, key))


def differences(placed: Placed, path: str) -> Sequence[str]:
    """How what stands at the path differs from what the last evaluation left, for people; empty: it does not."""
    now, left = lstat(path), placed.left
    if left is None:
        return [] if now is not None else ["it is gone"]
    if left == ABSENT:
        return [] if now is None else ["it is there, and a later step had removed it"]
    if now is None:
        return ["it is gone"]
    if now == left:
        return []
    if stat.S_IFMT(now.mode) != stat.S_IFMT(left.mode):
        return [f"it is {kind_of(now.mode)}, and was left as {kind_of(left.mode)}"]
    found = []
    if digest(path, now.mode) != placed.left_digest:
        found.append("its target is another" if stat.S_ISLNK(now.mode) else "its content is another")
    if now.mode != left.mode:
        found.append(f"its mode is {stat.S_IMODE(now.mode):04o}, and was left as {stat.S_IMODE(left.mode):04o}")
    if (now.uid, now.gid) != (left.uid, left.gid):
        found.append(f"its owner is {now.uid}:{now.gid}, and was left as {left.uid}:{left.gid}")
    return found


def kind_of(mode: int) -> str:
    """What a mode's type bits say, for people to read."""
    names = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
    }
    return names.get(stat.S_IFMT(mode), "a device")


def count_below(connection: Connection, path: str) -> int:
    """How many destinations lie below a directory."""
    begin, end = os.fsencode(path.rstrip("/") + "/"), os.fsencode(path.rstrip("/") + "0")  # "0" follows "/"
    row = connection.execute("SELECT count(*) FROM destination WHERE path >= ? AND path < ?", (begin, end)).fetchone()
    return int(row[0])


_GONE = "coalesce(s.evaluation, 0) < (SELECT max(number) FROM evaluation WHERE source = {owner})"


def _placed(connection: Connection, key: bytes, blocks: Sequence[Block]) -> Placed | None:
    row = connection.execute(
        "SELECT d.source, d.phase, d.evaluation, d.created, d.left_digest, d.revision, d.written,"
        " coalesce(s.file, d.file), coalesce(s.line, d.line), coalesce(s.text, ''),"
        f" d.statement <> '' AND {_GONE.format(owner='d.source')}, {LEFT}, d.statement"
        " FROM destination d LEFT JOIN statement s ON s.source = d.source AND s.key = d.statement WHERE d.path = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    chain = [link[0] for link in connection.execute("SELECT digest FROM link WHERE path = ?", (key,))]
    return Placed(
        source=row[0],
        phase=Phase(row[1]),
        statement=row[18],
        evaluation=row[2],
        created=bool(row[3]),
        left_digest=row[4] or "",
        author=_author(connection, row[5], row[6], row[7:11]),
        verbs=len(chain),
        only_appended=_is_only_appended(chain, blocks),
        left=stat_of(row[11:18]) if row[11] is not None else None,
    )


def _author(connection: Connection, revision: str, written: float | None, statement: Sequence[object]) -> Author:
    file, line, text, gone = statement
    return Author(
        revision=revision,
        commit=commit_of(connection, revision),
        file=str(file or ""),
        line=int(str(line or 0)),
        text=str(text or ""),
        gone=bool(gone),
        written=written,
    )


def _is_only_appended(chain: Sequence[str], blocks: Sequence[Block]) -> bool:
    """Whether each verb of the destination's chain was an APPEND, which wanted one of the blocks, or a MERGE."""
    texts = {hashlib.sha256(block.text).hexdigest() for block in blocks}
    return bool(blocks or chain) and all(digest in texts or digest.startswith(MERGED) for digest in chain)


def _before(connection: Connection, key: bytes, kept: Path) -> Before | None:
    row = connection.execute("SELECT kind, digest, mode, uid, gid FROM kept WHERE path = ?", (key,)).fetchone()
    if row is None:
        return None
    content = Content(kind=row[0], digest=row[1], mode=row[2], uid=row[3], gid=row[4])
    copy = kept / content.digest if content.kind == stat.S_IFREG and content.digest else None
    return Before(content=content, copy=copy)


def _blocks(connection: Connection, key: bytes) -> Sequence[Appended]:
    rows = connection.execute(
        "SELECT b.statement, b.text, b.adopted, b.continues, b.revision, b.written, s.file, s.line, s.text,"
        f" {_GONE.format(owner='b.source')}"
        " FROM block b LEFT JOIN statement s ON s.source = b.source AND s.key = b.statement"
        " WHERE b.path = ? ORDER BY b.position",
        (key,),
    ).fetchall()
    return [
        Appended(
            block=block_of(row[:4]),
            author=_author(connection, row[4], None if row[2] else row[5], row[6:10]),
        )
        for row in rows
    ]
