"""Making way for what COPY places: removing what stands there, each file of it kept by the ledger first."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.apply.paths import Directory
from nodeagent.apply.rsync import CopyOptions
from nodeagent.model.destinations import Destinations
from nodeagent.model.evaluation import Change, FileChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Removes what ``--delete`` removes, and what stands where something else is to stand.

    ``shown`` is a destination's path below the top of the copy, as ``--exclude`` sees it.
    """

    options: CopyOptions
    destinations: Destinations
    report: Callable[[FileChange], None]

    def remove(self, at: Directory, name: str, there: os.stat_result, *, shown: str) -> bool:
        """Remove what is not in the source, with all that is below it; each file is kept by the ledger first.

        Args:
            at: Where it stands.
            name: Its name there.
            there: Its lstat.
            shown: Its path below the top of the copy, as the rules see it.

        Returns:
            Whether it is gone: what ``--exclude`` protects stays, with the directories on the way to it.
        """
        path = at.child(name)
        if stat.S_ISDIR(there.st_mode):
            with at.enter(name) as below:
                if below.mount_id != at.mount_id:
                    raise OSError(f"cannot delete mount point: {path}")
                gone = [
                    not self.options.protecting.leave_out(f"{shown}/{entry}", is_directory=stat.S_ISDIR(inner.st_mode))
                    and self.remove(below, entry, inner, shown=f"{shown}/{entry}")
                    for entry in sorted(below.names(), key=os.fsencode)
                    if (inner := below.lstat(entry)) is not None
                ]
            if not all(gone):
                return False
            os.rmdir(name, dir_fd=at.fd)
        else:
            self.destinations.keep(path)
            os.unlink(name, dir_fd=at.fd)
        self.report(FileChange(path=path, change=Change.PRUNED))
        return True

    def check(self, at: Directory, name: str, there: os.stat_result | None) -> None:
        """Refuse, as rsync does without ``--delete``, to replace a directory that is not empty."""
        if there is not None and stat.S_ISDIR(there.st_mode) and not (self.options.delete or self.options.force):
            with at.enter(name) as below:
                if below.names():
                    raise _in_the_way(at.child(name))

    def make(self, at: Directory, name: str, there: os.stat_result | None, *, shown: str) -> None:
        """Let the ledger know; a directory is removed, as a rename cannot replace it."""
        if there is None or not stat.S_ISDIR(there.st_mode):
            self.destinations.keep(at.child(name))
        elif self.options.delete or self.options.force:
            if not self.remove(at, name, there, shown=shown):
                raise _in_the_way(at.child(name))
        else:
            self.destinations.keep(at.child(name))
            os.rmdir(name, dir_fd=at.fd)


def _in_the_way(path: str) -> OSError:
    return OSError(f"could not make way for it: cannot delete non-empty directory: {path}")
