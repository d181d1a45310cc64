"""The ledger's file: one SQLite database that one process opens at a time.

A damaged or missing ledger never stops the agent: what is unreadable is moved aside, and a new one is filled by
adoption, as the native verbs compare what stands on the node with what they want.
"""

import contextlib
import fcntl
import os
import sqlite3  # noqa: TID251 - the door
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nodeagent.errors import NotNow

Connection = sqlite3.Connection
SCHEMA_VERSION = 1

# Paths are blobs: a file name need not be UTF-8. A digest is as in model.Content. ``left_*`` is the lstat and content
# at the end of the last evaluation that placed the destination, NULL while one is under way.
_SCHEMA = """
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,             -- the repository's address, or the directory given by --repo
    tree TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    boot TEXT NOT NULL,
    finished INTEGER NOT NULL,             -- post.sh came to an end of its own
    attempted TEXT NOT NULL,               -- revisions as printed
    applied TEXT NOT NULL,
    ready_boot TEXT NOT NULL,              -- the boot in which post.sh first came to its end
    last_finished INTEGER NOT NULL,        -- evaluation
    failed TEXT NOT NULL,                  -- JSON: one line a step that is failed
    pending TEXT NOT NULL                  -- JSON: one line a step that is due and was not reached
);
CREATE TABLE evaluation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES source (id),
    revision TEXT NOT NULL,
    scope TEXT NOT NULL,
    trigger TEXT NOT NULL,
    began REAL NOT NULL,
    duration_usec INTEGER,
    exit_status INTEGER,
    finished INTEGER,
    counts TEXT
);
CREATE TABLE attempt (
    source INTEGER NOT NULL REFERENCES source (id),
    key TEXT NOT NULL,
    reach INTEGER NOT NULL,                -- the how-manieth time the statement was reached in its evaluation
    succeeded INTEGER NOT NULL,
    exit_status INTEGER NOT NULL,
    statement_status INTEGER NOT NULL,
    label TEXT NOT NULL,                   -- file:line command
    evaluation INTEGER NOT NULL,
    PRIMARY KEY (source, key, reach)
) WITHOUT ROWID;
CREATE TABLE destination (
    path BLOB PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (id),
    evaluation INTEGER NOT NULL,
    file TEXT NOT NULL,
    line INTEGER NOT NULL,
    phase TEXT NOT NULL,
    created INTEGER NOT NULL,              -- nothing stood here before nodeagent
    native_digest TEXT NOT NULL,           -- after the last native verb, before what later steps did to it
    left_digest TEXT,
    left_mode INTEGER,                     -- st_mode with the type
    left_uid INTEGER,
    left_gid INTEGER,
    left_size INTEGER,
    left_mtime_ns INTEGER,
    left_ctime_ns INTEGER,
    left_inode INTEGER
) WITHOUT ROWID;
CREATE TABLE link (                        -- the chain of verbs on one destination
    path BLOB NOT NULL REFERENCES destination (path) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    digest TEXT NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    PRIMARY KEY (path, position)
) WITHOUT ROWID;
CREATE TABLE block (
    path BLOB NOT NULL,
    position INTEGER NOT NULL,
    statement TEXT NOT NULL,
    text BLOB NOT NULL,
    adopted INTEGER NOT NULL,
    PRIMARY KEY (path, position)
);
CREATE TABLE kept (                        -- what stood at a path before nodeagent; content in kept/DIGEST
    path BLOB PRIMARY KEY,
    kind INTEGER NOT NULL,
    digest TEXT NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    evaluation INTEGER NOT NULL
) WITHOUT ROWID;
"""


@contextlib.contextmanager
def opened(directory: Path, *, wait: bool, warn: Callable[[str], None]) -> Iterator[sqlite3.Connection]:
    """Open the ledger for this process alone.

    Args:
        directory: made when it is missing, mode 0700.
        wait: wait for another agent's end instead of raising.
        warn: takes one line when a damaged ledger was moved aside.

    Raises:
        NotNow: another process holds the ledger.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory / "lock", wait=wait):
        connection = _connect(directory / "ledger.db", warn)
        try:
            yield connection
        finally:
            connection.close()


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """The kernel drops the lock when its holder ends, however it ends: there is no stale lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise NotNow("another nodeagent is applying on this node: try again when it is done") from error
        yield
    finally:
        os.close(descriptor)


def _connect(path: Path, warn: Callable[[str], None]) -> sqlite3.Connection:
    try:
        return _open(path)
    except sqlite3.OperationalError:
        raise  # disk full, no permission: the ledger itself is not to blame
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        path.rename(aside)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        warn(f"{path}: the ledger is damaged ({error}): moved to {aside.name}; what stands on the node is adopted anew")
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    cut_short = path.with_name(path.name + "-wal").exists()
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            os.chmod(path, 0o600)
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema {version} is not known to this version of nodeagent")
        if cut_short and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its check failed")
    except BaseException:
        connection.close()
        raise
    return connection
