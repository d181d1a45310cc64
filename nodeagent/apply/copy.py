"""COPY: what ``rsync FLAGS SRC... DEST`` leaves behind, file for file, each placed atomically.

Where the manual of rsync is silent its program is the authority: ``tests/integration/test_copy_rsync.py`` compares
the two on random trees. On purpose otherwise (design section 4): content decides, not time; a destination directory
that exists keeps its mode and owner; nothing is done where the ledger says that the destination is as it was left.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nodeagent.apply.attributes import Attributes, UnknownOwnerError, declared, group_id, user_id
from nodeagent.apply.paths import Directory, locate, open_directory
from nodeagent.apply.place import LeftAbsentError, Placer
from nodeagent.apply.rsync import CopyOptions
from nodeagent.apply.tree import Source, Wanted
from nodeagent.model import Change, Destinations, FileChange

# Exit statuses of rsync(1).
_DONE = 0
_SELECTION = 3  # errors selecting input/output files, dirs
_FILE_IO = 11  # error in file I/O
_PARTIAL = 23  # partial transfer due to error

_DEEPEST = 300  # levels below the destination; each holds two descriptors, of which a process has 1,024


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
        mode: What an annotation declares for files (permission bits), or None.
        user: The owner that an annotation declares, by name or number, or empty.
        group: The group, likewise.

    Returns:
        rsync's exit status: 0, 3 or 11 when the destination cannot be used at all, 23 when some of it failed. What
        failed was reported with the reason, and the rest was done.
    """
    path = os.path.join(cwd, destination)
    try:
        said = declared(mode=mode, user=user, group=group)
    except UnknownOwnerError as error:  # nothing is placed that the wrong one could read
        report(FileChange(path=path, change=Change.FAILED, reason=f"owner={user}{group and ':' + group}: {error}"))
        return _PARTIAL

    def chown(look_up: Callable[[str], int], name: str) -> int | None:
        try:
            return look_up(name) if name else None
        except UnknownOwnerError as error:  # rsync says so, leaves the owners as they are in the source, and returns 0
            report(FileChange(path=path, change=Change.FAILED, reason=f"rsync: --chown: {error}"))
            return None

    uid, gid = chown(user_id, options.user), chown(group_id, options.new_group)
    attributes = Attributes(options=options, umask=umask, declared=said, uid=uid, gid=gid)
    placer = Placer(options=options, attributes=attributes, destinations=destinations, report=report)
    return _Copy(cwd=cwd, options=options, placer=placer, report=report).run(sources, destination, make_parent)


class _UnusableDestinationError(Exception):
    """The destination cannot be used at all: nothing is copied."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True, kw_only=True)
class _Copy:
    """One COPY under way."""

    cwd: str
    options: CopyOptions
    placer: Placer
    report: Callable[[FileChange], None]
    status: int = _DONE
    delete: bool = False  # still allowed: a source that could not be read forbids it, as in rsync
    target: tuple[int, int] = (0, 0)  # device and inode of the destination: never descended into as a source

    def run(self, sources: Sequence[str], destination: str, make_parent: bool) -> int:
        self.delete = self.options.delete
        with contextlib.ExitStack() as opened:
            wanted = self._gather(sources, destination, opened)
            if self._is_left_absent(destination, wanted):
                return self.status
            try:
                if make_parent:
                    with contextlib.suppress(OSError):  # said again, with rsync's status, where it matters
                        self._make_directories(os.path.dirname(destination.rstrip("/")) or ".").close()
                self._into(destination, wanted)
            except _UnusableDestinationError as error:
                self._failed(os.path.join(self.cwd, destination), str(error))
                return error.status
            except LeftAbsentError:
                return self.status
        return self.status

    # --- the sources --------------------------------------------------------------------------------------------

    def _gather(self, sources: Sequence[str], destination: str, opened: contextlib.ExitStack) -> Wanted:
        """Look at the operands, in their order; one that is missing is reported as a failure of the destination."""
        wanted = Wanted()
        for operand in sources:
            path = os.path.join(self.cwd, operand)
            contents = os.path.basename(operand) in {"", ".", ".."}
            try:
                found = os.stat(path + "/.") if contents else os.lstat(path)
                if stat.S_ISDIR(found.st_mode) and not self.options.recursive:
                    continue  # "skipping directory"
                if contents:
                    wanted.roots.append(found)
                    wanted.add_entries(path, None, opened, rules=self.options.rules, prefix="", follow=True)
                elif not self.options.rules.leave_out(
                    os.path.basename(operand), is_directory=stat.S_ISDIR(found.st_mode)
                ):
                    wanted.add(os.path.basename(operand), Source(name=path, dir_fd=None, stat=found))
            except OSError as error:
                named = isinstance(error, FileNotFoundError) and not contents and os.path.isdir(os.path.dirname(path))
                self.delete = self.delete and named  # only what is known to be missing lets rsync go on deleting
                self._failed(os.path.join(self.cwd, destination), _says("link_stat", path, error))
        return wanted

    def _is_left_absent(self, destination: str, wanted: Wanted) -> bool:
        """Whether a later step removed what this verb placed the last time, with the directory that it was in."""
        path = os.path.realpath(os.path.join(self.cwd, destination))
        if os.path.isdir(os.path.dirname(path)) and (os.path.lexists(path) or wanted.is_single(self.options.rules)):
            return False  # the placer looks at each destination
        absent = self.placer.destinations.left_absent
        names = wanted.entries.keys()
        return absent(path) or (bool(names) and all(absent(os.path.join(path, name)) for name in names))

    # --- the destination ------------------------------------------------------------------------------------------

    def _into(self, destination: str, wanted: Wanted) -> None:
        """Find out where the sources go, by rsync's rules, and place them.

        Raises:
            _UnusableDestinationError: the destination is missing or is something that cannot take them.
        """
        path = os.path.join(self.cwd, destination)
        single = wanted.is_single(self.options.rules)
        slash = destination.endswith("/")
        mkpath = self.options.mkpath and (not single or "/" in destination)
        made_first = path if not (single or slash) else path.rpartition("/")[0]
        found = self._look_at(path, _FILE_IO if mkpath and not _can_be_made(made_first) else _SELECTION)
        if found is None and mkpath:
            self._make_path(os.path.dirname(path.rstrip("/")))
        if found is not None and stat.S_ISDIR(found.st_mode):
            with self._opened(path) as at:
                self.target = (found.st_dev, found.st_ino)
                if wanted.roots:
                    self.placer.directory_stands(at, wanted.roots[0])
                self._level(at, wanted, depth=0, contents=bool(wanted.roots), prefix="")
        elif found is not None:
            if not single:
                raise _UnusableDestinationError(
                    _SELECTION, "destination must be a directory when copying more than 1 file"
                )
            if wanted.has_directory():
                raise _UnusableDestinationError(_SELECTION, "cannot overwrite non-directory with a directory")
            self._as(path, wanted)
        elif single and not slash:
            self._as(path, wanted)
        else:
            self._into_new(path.rstrip("/"), wanted)

    def _look_at(self, path: str, failure: int) -> os.stat_result | None:
        try:
            return os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _UnusableDestinationError(failure, _says("cannot stat destination", path, error)) from error

    def _opened(self, path: str) -> Directory:
        try:
            return open_directory(path, cwd=self.cwd)
        except OSError as error:
            raise _UnusableDestinationError(_SELECTION, _says("change_dir", path, error)) from error

    def _make_path(self, path: str) -> None:
        """``--mkpath``."""
        try:
            self._make_directories(path).close()
        except OSError as error:
            raise _UnusableDestinationError(_FILE_IO, _says("mkdir", path, error)) from error

    def _make_directories(self, path: str) -> Directory:
        """``mkdir -p``; returns the directory, open."""
        try:
            return open_directory(path, cwd=self.cwd)
        except FileNotFoundError:
            above, name = os.path.split(path.rstrip("/"))
            with self._make_directories(above or ".") as at:
                if name not in {".", ".."}:
                    self.placer.plain_directory(at, name)
        return open_directory(path, cwd=self.cwd)

    def _into_new(self, path: str, wanted: Wanted) -> None:
        """Make the destination directory, one level of it, and place the sources in it."""
        with contextlib.ExitStack() as opened:
            try:
                place = opened.enter_context(locate(path, cwd=self.cwd, follow=False))
                if place.directory.lstat(place.name) is not None:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))  # a dangling link
                # What --mkpath made counts as having been there: only -p gives it the source's mode.
                if not wanted.roots or (self.options.mkpath and not self.options.perms):
                    self.placer.plain_directory(place.directory, place.name)
                    at = place.directory.enter(place.name)
                else:
                    at, _ = self.placer.directory(place.directory, place.name, wanted.roots[0])
                opened.enter_context(at)
            except OSError as error:
                raise _UnusableDestinationError(_FILE_IO, _says("mkdir", path, error)) from error
            self._level(at, wanted, depth=0, contents=bool(wanted.roots), prefix="")
            if wanted.roots:
                self._set_time(at, wanted.roots[0])

    def _as(self, path: str, wanted: Wanted) -> None:
        """Place the one thing there is under a name of its own."""
        try:
            place = locate(path, cwd=self.cwd, follow=False)
        except OSError as error:
            raise _UnusableDestinationError(_SELECTION, _says("change_dir", os.path.dirname(path), error)) from error
        with place:
            if wanted.roots:
                self._directory(place.directory, place.name, [], wanted.roots[0], depth=0, shown="")
            for name, sources in wanted.entries.items():
                self._entry(place.directory, place.name, sources, depth=0, shown=name)

    # --- one level of the tree ------------------------------------------------------------------------------------

    def _level(self, at: Directory, wanted: Wanted, *, depth: int, contents: bool, prefix: str) -> None:
        """Place all entries in an open directory: files first, then directories with what is below them.

        ``prefix`` is what the rules see in front of each name.
        """
        if contents and self.delete:
            self._remove_others(at, wanted, prefix)
        for name, sources in wanted.in_order():
            self._entry(at, name, sources, depth=depth, shown=prefix + name)

    def _entry(self, at: Directory, name: str, sources: Sequence[Source], *, depth: int, shown: str) -> None:
        directories = [source for source in sources if source.is_directory]
        if directories:
            self._directory(at, name, directories, directories[0].stat, depth=depth, shown=shown)
            return
        source, mode = sources[0], sources[0].stat.st_mode
        with self._failures(at.child(name)):
            if stat.S_ISREG(mode):
                self.placer.file(at, name, source, shown=shown)
            elif stat.S_ISLNK(mode):
                if self.options.links:
                    self.placer.link(at, name, source, shown=shown)
            elif self.options.devices if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else self.options.specials:
                self.placer.node(at, name, source, shown=shown)

    def _directory(
        self, at: Directory, name: str, sources: Sequence[Source], mode_of: os.stat_result, *, depth: int, shown: str
    ) -> None:
        absent = contextlib.suppress(LeftAbsentError)
        with absent, self._failures(at.child(name)), contextlib.ExitStack() as opened:
            if depth > _DEEPEST:
                raise OSError(f"directories are nested more than {_DEEPEST} deep")
            below, made = self.placer.directory(at, name, mode_of)
            opened.enter_context(below)
            wanted = Wanted()
            complete = True
            for source in sources:
                if (source.stat.st_dev, source.stat.st_ino) == self.target:
                    continue
                try:
                    wanted.add_entries(source.name, source.dir_fd, opened, rules=self.options.rules, prefix=f"{shown}/")
                except OSError as error:
                    complete = self.delete = False
                    self._failed(below.path, _says("opendir", source.name, error))
            self._level(below, wanted, depth=depth + 1, contents=complete, prefix=f"{shown}/")
            if made:
                self._set_time(below, mode_of)

    def _remove_others(self, at: Directory, wanted: Wanted, prefix: str) -> None:
        """``--delete``: remove what the source does not have and no rule protects."""
        for name in sorted(set(at.names()) - wanted.entries.keys(), key=os.fsencode):
            with self._failures(at.child(name)):
                there = at.lstat(name)
                if there is None or self._is_protected(prefix + name, there):
                    continue
                self.placer.remove(at, name, there, shown=prefix + name)

    def _is_protected(self, shown: str, there: os.stat_result) -> bool:
        return self.options.protecting.leave_out(shown, is_directory=stat.S_ISDIR(there.st_mode))

    def _set_time(self, at: Directory, source: os.stat_result) -> None:
        """A new directory gets its source's time, after the last entry was made in it."""
        if self.options.times and not self.options.omit_dir_times:
            with self._failures(at.path):
                os.utime(at.fd, ns=(source.st_mtime_ns, source.st_mtime_ns))

    # --- what goes wrong --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        """Report what fails inside, and go on."""
        try:
            yield
        except OSError as error:
            self._failed(path, _says("placing", path, error))

    def _failed(self, path: str, reason: str) -> None:
        self.status = _PARTIAL
        self.report(FileChange(path=path, change=Change.FAILED, reason=reason))


def _can_be_made(path: str) -> bool:
    """What rsync's ``--mkpath`` takes for made: what is there, unless it leads to something else than a directory."""
    try:
        os.lstat(path)
    except OSError:
        return False
    return os.path.isdir(path) or not os.path.exists(path)


def _says(what: str, path: str, error: OSError) -> str:
    """A reason in rsync's manner."""
    if error.errno is None:
        return f"rsync: {error}"
    return f'rsync: {what} "{path}" failed: {error.strerror} ({error.errno})'
