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

from nodeagent.errors import LedgerUnavailable, NotNow
from nodeagent.ledger.schema import STEPS

Connection = sqlite3.Connection
SCHEMA_VERSION = len(STEPS)


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
    with locked(directory / "lock", wait=wait):
        connection = _connect(directory / "ledger.db", warn)
        try:
            yield connection
        finally:
            connection.close()


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
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema {version} is not known to this version of nodeagent")
        for number, step in enumerate(STEPS[version:], version + 1):
            connection.executescript(f"BEGIN; {step} PRAGMA user_version = {number}; COMMIT;")
        if cut_short and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its check failed")
    except BaseException:
        connection.close()
        raise
    return connection
