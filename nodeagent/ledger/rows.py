"""The rows in which a destination is written down: by which verbs, how they left it, and how the evaluation did.

Each function takes many at once, and belongs into a transaction of the caller's.
"""

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from nodeagent.ledger.chain import Past, Placed
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import LEFT
from nodeagent.model.destinations import Stat
from nodeagent.model.evaluation import Statement

Written = tuple[str, Placed, Past | None]
"""A destination's path, what this evaluation did to it, and how the last one left it."""


def write_placed(
    connection: Connection, written: Iterable[Written], *, source: int, evaluation: int, revision: str
) -> None:
    """What verbs have placed or found for the first time; how it is left stays open."""
    rows = [
        (
            os.fsencode(path),
            source,
            evaluation,
            placed.statement.file,
            placed.statement.line,
            placed.phase,
            placed.created,
            placed.written(past),
            placed.statement.key,
            revision,
            time.time() if placed.changed else None,
        )
        for path, placed, past in written
    ]
    connection.executemany(
        "INSERT INTO destination (path, source, evaluation, file, line, phase, created, native_digest, statement,"
        " revision, written) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (path) DO UPDATE SET source = excluded.source,"
        " evaluation = excluded.evaluation, file = excluded.file, line = excluded.line, phase = excluded.phase,"
        " native_digest = excluded.native_digest, left_mode = NULL, statement = excluded.statement,"
        " revision = CASE WHEN excluded.written IS NULL THEN coalesce(nullif(revision, ''), excluded.revision)"
        " ELSE excluded.revision END,"
        " written = coalesce(excluded.written, written)",
        rows,
    )


def write_chains(connection: Connection, written: Iterable[tuple[str, Placed]]) -> None:
    """What the verbs wanted, and by what their sources are known again."""
    keys, links = [], []
    for path, placed in written:
        key = os.fsencode(path)
        keys.append((key,))
        for n, (c, read) in enumerate(zip(placed.chain, placed.reads, strict=True)):
            links.append((key, n, c.kind, c.digest, c.mode, c.uid, c.gid, read))
    connection.executemany("DELETE FROM link WHERE path = ?", keys)
    connection.executemany("INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?, ?)", links)


def touch(connection: Connection, named: Iterable[tuple[str, Statement]], *, evaluation: int) -> None:
    """Verbs have named these destinations, and left them as they were."""
    rows = [(evaluation, by.key, by.file, by.line, os.fsencode(path)) for path, by in named]
    connection.executemany(
        "UPDATE destination SET evaluation = ?, statement = ?, file = ?, line = ? WHERE path = ?", rows
    )


def write_left(connection: Connection, left: Sequence[tuple[str, Placed, str, str, Stat]], *, evaluation: int) -> None:
    """How the evaluation leaves destinations: digests behind the last native verb and now, and the lstat."""
    rows: list[tuple[Any, ...]] = [
        (
            evaluation,
            placed.statement.key,
            placed.statement.file,
            placed.statement.line,
            placed.phase,
            native,
            digest,
            *now,
            os.fsencode(path),
        )
        for path, placed, native, digest, now in left
    ]
    connection.executemany(
        "UPDATE destination SET evaluation = ?, statement = ?, file = ?, line = ?, phase = ?, native_digest = ?,"
        f" left_digest = ?, ({LEFT}) = (?, ?, ?, ?, ?, ?, ?) WHERE path = ?",
        rows,
    )
