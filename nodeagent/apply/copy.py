"""COPY: what ``rsync FLAGS SRC... DEST`` leaves behind, file for file, each placed atomically.

Where the manual of rsync is silent its program is the authority: ``tests/integration/test_copy_rsync.py`` compares
the two on random trees. On purpose otherwise (design section 4): content decides, not time; a destination directory
that exists keeps its mode and owner; nothing is done where the ledger says that the destination is as it was left.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodeagent.apply.attributes import Attributes, UnknownOwnerError, declared, group_id, user_id
from nodeagent.apply.levels import PARTIAL, Levels, says
from nodeagent.apply.place import LeftAbsentError, Placer
from nodeagent.apply.rsync import CopyOptions
from nodeagent.apply.target import Target, UnusableDestinationError
from nodeagent.apply.tree import Source, Wanted
from nodeagent.apply.untouched import Untouched
from nodeagent.apply.way import Way
from nodeagent.model.destinations import Destinations
from nodeagent.model.evaluation import Change, FileChange


def copy(
    sources: Sequence[str],
    destination: str,
    *,
    cwd: str,
    umask: int,
    options: CopyOptions,
    make_parent: bool,
    destinations: Destinations,
    report: Callable[[FileChange], None],
    make_destination: bool = False,
    mode: int | None = None,
    user: str = "",
    group: str = "",
) -> int:
    """Copy as rsync does.

    Args:
        sources: As the shell gave them; a trailing slash means the contents. They name local files
            (:func:`~nodeagent.apply.rsync.is_local`).
        destination: As the shell gave it.
        cwd: The shell's working directory, absolute.
        umask: The shell's.
        options: From :func:`~nodeagent.apply.rsync.parse`.
        make_parent: Do ``mkdir -p "$(dirname DEST)"`` first.
        destinations: The ledger.
        report: Told each destination once, in the order in which they were seen to.
        make_destination: Do ``mkdir -p DEST`` first: it is missing, or a directory.
        mode: What an annotation declares for files (permission bits), or None.
        user: The owner that an annotation declares, by name or number, or empty.
        group: The group, likewise.

    Returns:
        rsync's exit status: 0, 3 or 11 when the destination cannot be used at all, 23 when some of it failed. What
        failed was reported with the reason, and the rest was done.
    """
    path = os.path.join(cwd, destination)
    made_first = destination if make_destination else os.path.dirname(destination.rstrip("/")) if make_parent else None
    try:
        said = declared(mode=mode, user=user, group=group)
    except UnknownOwnerError as error:  # nothing is placed that the wrong one could read
        report(FileChange(path=path, change=Change.FAILED, reason=f"owner={user}{group and ':' + group}: {error}"))
        return PARTIAL

    def chown(look_up: Callable[[str], int], name: str) -> int | None:
        try:
            return look_up(name) if name else None
        except UnknownOwnerError as error:  # rsync says so, leaves the owners as they are in the source, and returns 0
            report(FileChange(path=path, change=Change.FAILED, reason=f"rsync: --chown: {error}"))
            return None

    uid, gid = chown(user_id, options.user), chown(group_id, options.new_group)
    attributes = Attributes(options=options, umask=umask, declared=said, uid=uid, gid=gid)
    way = Way(options=options, destinations=destinations, report=report)
    placer = Placer(options=options, attributes=attributes, destinations=destinations, report=report, way=way)
    untouched = Untouched(attributes=attributes, destinations=destinations, report=report)
    levels = Levels(options=options, placer=placer, untouched=untouched, report=report, delete=options.delete)
    return _Copy(cwd=cwd, levels=levels).run(sources, destination, made_first)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One COPY under way."""

    cwd: str
    levels: Levels

    def run(self, sources: Sequence[str], destination: str, made_first: str | None) -> int:
        levels, target = self.levels, Target(cwd=self.cwd, levels=self.levels)
        with contextlib.ExitStack() as opened:
            opened.callback(levels.batch.drop)
            wanted = self._gather(sources, destination, opened)
            if self._is_left_absent(destination, wanted):
                return levels.status
            try:
                if made_first is not None:
                    with contextlib.suppress(OSError):  # said again, with rsync's status, where it matters
                        target.make_directories(made_first or ".").close()
                target.place(destination, wanted)
            except UnusableDestinationError as error:
                levels.failed(os.path.join(self.cwd, destination), str(error))
                return error.status
            except LeftAbsentError:
                pass
        return levels.status

    def _gather(self, sources: Sequence[str], destination: str, opened: contextlib.ExitStack) -> Wanted:
        """Look at the operands, in their order; one that is missing is reported as a failure of the destination."""
        wanted = Wanted()
        for operand in sources:
            path = os.path.join(self.cwd, operand)
            contents = os.path.basename(operand) in {"", ".", ".."}
            try:
                found = os.stat(path + "/.") if contents else os.lstat(path)
                if stat.S_ISDIR(found.st_mode) and not self.levels.options.recursive:
                    continue  # "skipping directory"
                if contents:
                    wanted.roots.append(found)
                    wanted.add_entries(path, None, opened, rules=self.levels.options.rules, prefix="", follow=True)
                elif not self.levels.options.rules.leave_out(
                    os.path.basename(operand), is_directory=stat.S_ISDIR(found.st_mode)
                ):
                    wanted.add(os.path.basename(operand), Source(name=path, dir_fd=None, stat=found))
            except OSError as error:
                named = isinstance(error, FileNotFoundError) and not contents and os.path.isdir(os.path.dirname(path))
                self.levels.delete = (
                    self.levels.delete and named
                )  # only what is known to be missing lets rsync go on deleting
                self.levels.failed(os.path.join(self.cwd, destination), says("link_stat", path, error))
        return wanted

    def _is_left_absent(self, destination: str, wanted: Wanted) -> bool:
        """Whether a later step removed what this verb placed the last time, with the directory that it was in."""
        path = os.path.realpath(os.path.join(self.cwd, destination))
        if os.path.isdir(os.path.dirname(path)) and (
            os.path.lexists(path) or wanted.is_single(self.levels.options.rules)
        ):
            return False  # the placer looks at each destination
        absent = self.levels.placer.destinations.left_absent
        names = wanted.entries.keys()
        return absent(path) or (bool(names) and all(absent(os.path.join(path, name)) for name in names))
