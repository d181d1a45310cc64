"""Where the sources of a COPY go, by rsync's rules: into the destination, in its place, or into one made for them."""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from nodeagent.apply.levels import Levels, says
from nodeagent.apply.paths import Directory, locate, open_directory
from nodeagent.apply.tree import Wanted

# Exit statuses of rsync(1).
_SELECTION = 3  # errors selecting input/output files, dirs
_FILE_IO = 11  # error in file I/O


class UnusableDestinationError(Exception):
    """The destination cannot be used at all: nothing is copied. ``status`` is rsync's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The destination of one COPY. ``cwd`` is the shell's working directory, absolute."""

    cwd: str
    levels: Levels

    def place(self, destination: str, wanted: Wanted) -> None:
        """Find out where the sources go, by rsync's rules, and place them.

        Raises:
            UnusableDestinationError: the destination is missing or is something that cannot take them.
        """
        path = os.path.join(self.cwd, destination)
        single = wanted.is_single(self.levels.options.rules)
        slash = destination.endswith("/")
        mkpath = self.levels.options.mkpath and (not single or "/" in destination)
        made_first = path if not (single or slash) else path.rpartition("/")[0]
        found = self._look_at(path, _FILE_IO if mkpath and not _can_be_made(made_first) else _SELECTION)
        if found is None and mkpath:
            self._make_path(os.path.dirname(path.rstrip("/")))
        if found is not None and stat.S_ISDIR(found.st_mode):
            with self._opened(path) as at:
                self.levels.target = (found.st_dev, found.st_ino)
                if wanted.roots:
                    self.levels.placer.directory_stands(at, wanted.roots[0])
                self._fill(at, wanted)
        elif found is not None:
            if not single:
                raise UnusableDestinationError(
                    _SELECTION, "destination must be a directory when copying more than 1 file"
                )
            if wanted.has_directory():
                raise UnusableDestinationError(_SELECTION, "cannot overwrite non-directory with a directory")
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
            raise UnusableDestinationError(failure, says("cannot stat destination", path, error)) from error

    def _opened(self, path: str) -> Directory:
        try:
            return open_directory(path, cwd=self.cwd)
        except OSError as error:
            raise UnusableDestinationError(_SELECTION, says("change_dir", path, error)) from error

    def _make_path(self, path: str) -> None:
        """``--mkpath``."""
        try:
            self.make_directories(path).close()
        except OSError as error:
            raise UnusableDestinationError(_FILE_IO, says("mkdir", path, error)) from error

    def make_directories(self, path: str) -> Directory:
        """``mkdir -p``; returns the directory, open."""
        try:
            return open_directory(path, cwd=self.cwd)
        except FileNotFoundError:
            above, name = os.path.split(path.rstrip("/"))
            with self.make_directories(above or ".") as at:
                if name not in {".", ".."}:
                    self.levels.placer.plain_directory(at, name)
        return open_directory(path, cwd=self.cwd)

    def _into_new(self, path: str, wanted: Wanted) -> None:
        """Make the destination directory, one level of it, and place the sources in it."""
        with contextlib.ExitStack() as opened:
            try:
                place = opened.enter_context(locate(path, cwd=self.cwd, follow=False))
                if place.directory.lstat(place.name) is not None:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))  # a dangling link
                # What --mkpath made counts as having been there: only -p gives it the source's mode.
                if not wanted.roots or (self.levels.options.mkpath and not self.levels.options.perms):
                    self.levels.placer.plain_directory(place.directory, place.name)
                    at = place.directory.enter(place.name)
                else:
                    at, _ = self.levels.placer.directory(place.directory, place.name, wanted.roots[0])
                opened.enter_context(at)
            except OSError as error:
                raise UnusableDestinationError(_FILE_IO, says("mkdir", path, error)) from error
            self._fill(at, wanted)
            if wanted.roots:
                self.levels.set_time(at, wanted.roots[0])

    def _as(self, path: str, wanted: Wanted) -> None:
        """Place the one thing there is under a name of its own."""
        try:
            place = locate(path, cwd=self.cwd, follow=False)
        except OSError as error:
            raise UnusableDestinationError(_SELECTION, says("change_dir", os.path.dirname(path), error)) from error
        with place:
            if wanted.roots:
                self.levels.directory(place.directory, place.name, [], wanted.roots[0], depth=0, shown="")
            for name, sources in wanted.entries.items():
                self.levels.entry(place.directory, place.name, sources, depth=0, shown=name)
            self.levels.batch.flush()

    def _fill(self, at: Directory, wanted: Wanted) -> None:
        self.levels.level(at, wanted, depth=0, contents=bool(wanted.roots), prefix="")
        self.levels.batch.flush()


def _can_be_made(path: str) -> bool:
    """What rsync's ``--mkpath`` takes for made: what is there, unless it leads to something else than a directory."""
    try:
        os.lstat(path)
    except OSError:
        return False
    return os.path.isdir(path) or not os.path.exists(path)
