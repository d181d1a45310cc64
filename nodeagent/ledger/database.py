"""The ledger's file: one SQLite database that one process opens at a time.

A damaged or missing ledger never stops the agent: what is unreadable is moved aside, and a new one is filled by
adoption, as the native verbs compare what stands on the node with what they want. One that a later version has written
is in order, and is not touched.
"""

import contextlib
import fcntl
import os
import sqlite3  # noqa: TID251 - the door
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nodeagent.errors import LedgerUnavailable, NodeUnusable, NotNow
from nodeagent.ledger.schema import STEPS
from nodeagent.node import needs

Connection = sqlite3.Connection
SCHEMA_VERSION = len(STEPS)

# Result codes of SQLite: what its filesystem, and what the file is to blame for. Any other error is a fault of ours.
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
_ASIDE = ".damaged-"  # and the time
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextlib.contextmanager
def opened(directory: Path, *, wait: bool, warn: Callable[[str], None]) -> Iterator[sqlite3.Connection]:
    """Open the ledger for this process alone.

    Args:
        directory: made when it is missing, mode 0700.
        wait: wait for another agent's end instead of raising.
        warn: takes one line when a damaged ledger was moved aside.

    Raises:
        NotNow: another process holds the ledger.
        NodeUnusable: it cannot be read or written; also while it is open.
        LedgerUnavailable: a later version of nodeagent has written it.
    """
    path = directory / "ledger.db"
    with needs(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(directory / "lock", wait=wait):
        try:
            connection = _connect(path, warn)
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _REFUSED:
                raise
            raise NodeUnusable(
                f"{path}: {error}: see to its filesystem (full, read-only or broken?); what is left to do is still due"
            ) from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise
            _move_aside(path, error, warn)
            raise NodeUnusable(f"{path}: was damaged, and is moved aside: apply again to begin a new one") from error


@contextlib.contextmanager
def readable(directory: Path) -> Iterator[sqlite3.Connection]:
    """Open the directory's ledger to read in it, also while an agent applies: no lock is taken, nothing is made.

    Raises:
        LedgerUnavailable: there is none, it is of another version, or this user may not read it.
    """
    path = directory / "ledger.db"
    try:
        path.stat()
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    except FileNotFoundError as error:
        raise LedgerUnavailable(f"{path}: there is no ledger: nodeagent has not applied anything here yet") from error
    except PermissionError as error:
        raise LedgerUnavailable(f"{path}: cannot be read: the ledger is root's own: run this as root") from error
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"{path}: cannot be opened: {error}") from error
    with contextlib.closing(connection):
        try:
            connection.execute("PRAGMA query_only = ON")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise LedgerUnavailable(
                    f"{path}: is of version {version}, not {SCHEMA_VERSION}: `nodeagent apply` of the same version of "
                    "nodeagent as this one brings it up to date"
                )
            connection.execute("BEGIN")  # one picture, whatever is written meanwhile
            yield connection
        except sqlite3.DatabaseError as error:
            raise LedgerUnavailable(f"{path}: cannot be read: {error}; the next evaluation makes it anew") from error


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """The kernel drops the lock when its holder ends, however it ends: there is no stale lock.

    It is a POSIX lock because a fork does not inherit those: a child on its way to another program would hold the
    lock for a moment after its agent was killed.
    """
    with needs(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError) as error:  # POSIX allows both
            raise NotNow("another nodeagent is applying on this node: try again when it is done") from error
        yield
    finally:
        os.close(descriptor)


def _connect(path: Path, warn: Callable[[str], None]) -> sqlite3.Connection:
    if path.is_dir():
        _move_aside(path, "a directory stands in its place", warn)
    try:
        return _open(path)
    except sqlite3.OperationalError:
        raise  # disk full, no permission: the ledger itself is not to blame
    except sqlite3.DatabaseError as error:
        _move_aside(path, error, warn)
        return _open(path)


def _move_aside(path: Path, error: sqlite3.Error | str, warn: Callable[[str], None]) -> None:
    aside = path.with_name(f"{path.name}{_ASIDE}{int(time.time())}")
    path.rename(aside)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    warn(f"{path}: the ledger is damaged ({error}): moved to {aside.name}; what stands on the node is adopted anew")


def _open(path: Path) -> sqlite3.Connection:
    cut_short = path.with_name(path.name + "-wal").exists()
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            os.chmod(path, 0o600)
        if version > SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"{path}: a later version of nodeagent has written it (schema {version}, known is {SCHEMA_VERSION}): "
                "install that version again, or move the file away and begin with `nodeagent adopt`"
            )
        for number, step in enumerate(STEPS[version:], version + 1):
            connection.executescript(f"BEGIN; {step} PRAGMA user_version = {number}; COMMIT;")
        if version == 0 and any(path.parent.glob(f"{path.name}{_ASIDE}*")):
            connection.execute("INSERT INTO rebuilt VALUES (?)", (time.time(),))
        if cut_short and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its check failed")
    except BaseException:
        connection.close()
        raise
    return connection
