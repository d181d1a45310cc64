"""A copy of the state directory for a look at what an apply would do, and whether it still is the state."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from nodeagent.errors import LedgerUnavailable, NotNow
from nodeagent.ledger.database import locked, readable
from nodeagent.ledger.kept import edited

_NOT_COPIED = ("lock", "ledger.db.damaged-")
Fingerprint = Mapping[str, tuple[int, int, int]]
"""Size, modification time and inode number of each file."""


def take(directory: Path, into: Path) -> Fingerprint:
    """Copy the files of a state directory while nobody writes to them.

    Of what was kept, only what a repair may put back is copied, not what verbs have replaced.

    Nothing is made where nodeagent never applied anything.

    Raises:
        NotNow: another agent is at work.
    """
    into.mkdir(mode=0o700, parents=True)
    if not (directory / "lock").exists():
        return {}
    with locked(directory / "lock", wait=False):
        for path in _files(directory):
            shutil.copyfile(path, into / path.name)
            (into / path.name).chmod(0o600)
        _copy_edited(directory / "kept", into)
        return _fingerprint(directory)


def demand_current(directory: Path, taken: Fingerprint) -> None:
    """Make sure that nobody has applied anything since.

    Raises:
        NotNow: somebody has.
    """
    if not taken and not (directory / "lock").exists():
        return
    with locked(directory / "lock", wait=False):
        if _fingerprint(directory) != taken:
            raise NotNow("another nodeagent has applied something while the plan was made: make it again")


def _copy_edited(kept: Path, into: Path) -> None:
    (into / "kept").mkdir(mode=0o700)
    # A ledger that cannot be read is no matter here: the apply inside says so.
    with contextlib.suppress(LedgerUnavailable), readable(into) as connection:
        for name in edited(connection):
            if (kept / name).is_file():
                shutil.copyfile(kept / name, into / "kept" / name)


def _files(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.iterdir()) if path.is_file() and not path.name.startswith(_NOT_COPIED)]


def _fingerprint(directory: Path) -> Fingerprint:
    found = {path.name: os.lstat(path) for path in _files(directory)}
    return {name: (status.st_size, status.st_mtime_ns, status.st_ino) for name, status in found.items()}
