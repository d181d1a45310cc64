"""One level of a COPY after the other: each entry handed to the placer, what fails reported, and the rest done."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nodeagent.apply.batch import Batch
from nodeagent.apply.paths import Directory
from nodeagent.apply.place import LeftAbsentError, Placer
from nodeagent.apply.rsync import CopyOptions
from nodeagent.apply.tree import Source, Wanted
from nodeagent.apply.untouched import Untouched
from nodeagent.model.evaluation import Change, FileChange

PARTIAL = 23  # rsync's exit status: partial transfer due to error

_DEEPEST = 300  # levels below the destination; each holds two descriptors, of which a process has 1,024

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(slots=True, kw_only=True)
class Levels:
    """The directories of one COPY, from its destination down.

    ``status`` is rsync's exit status so far. ``delete``: whether ``--delete`` still acts; a source that could not be
    read forbids it, as in rsync. ``target``: device and inode of the destination, never descended into as a source.
    """

    options: CopyOptions
    placer: Placer
    untouched: Untouched
    report: Callable[[FileChange], None]
    delete: bool
    status: int = 0
    target: tuple[int, int] = (0, 0)
    batch: Batch = field(init=False)

    def __post_init__(self) -> None:
        self.batch = Batch(failed=lambda path, error: self.failed(path, says("placing", path, error)))

    def level(self, at: Directory, wanted: Wanted, *, depth: int, contents: bool, prefix: str) -> None:
        """Place all entries in an open directory: files first, then directories with what is below them.

        ``prefix`` is what the rules see in front of each name.
        """
        if contents and self.delete:
            self._remove_others(at, wanted, prefix)
        for name, sources in wanted.in_order():
            self.entry(at, name, sources, depth=depth, shown=prefix + name)

    def entry(self, at: Directory, name: str, sources: Sequence[Source], *, depth: int, shown: str) -> None:
        """Place what is to stand under one name; ``shown`` is how the rules see it."""
        if self.untouched(at, name, sources):
            return
        directories = [source for source in sources if source.is_directory]
        if directories:
            self.directory(at, name, directories, directories[0].stat, depth=depth, shown=shown)
            return
        source, mode = sources[0], sources[0].stat.st_mode
        with self._failures(at.child(name)):
            if stat.S_ISREG(mode):
                self._file(at, name, source, shown=shown)
            elif stat.S_ISLNK(mode):
                if self.options.links:
                    self.placer.link(at, name, source, shown=shown)
            elif self.options.devices if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else self.options.specials:
                self.placer.node(at, name, source, shown=shown)

    def _file(self, at: Directory, name: str, source: Source, *, shown: str) -> None:
        try:
            staged = self.placer.file(at, name, source, shown=shown)
        except OSError as error:
            if error.errno not in _FULL or not self.batch:
                raise
            self.batch.flush()  # what these files replace makes room
            staged = self.placer.file(at, name, source, shown=shown)
        if staged is not None:
            self.batch.add(staged)

    def directory(
        self, at: Directory, name: str, sources: Sequence[Source], mode_of: os.stat_result, *, depth: int, shown: str
    ) -> None:
        """Make sure of a directory, and place in it what the sources have, if any."""
        absent = contextlib.suppress(LeftAbsentError)
        with absent, self._failures(at.child(name)), contextlib.ExitStack() as opened:
            if depth > _DEEPEST:
                raise OSError(f"directories are nested more than {_DEEPEST} deep")
            below, made = self.placer.directory(at, name, mode_of)
            opened.callback(self._leave, below, mode_of if made else None)
            wanted = Wanted()
            complete = True
            for source in sources:
                if (source.stat.st_dev, source.stat.st_ino) == self.target:
                    continue
                if self.batch.is_in(source.stat):
                    self.batch.flush()  # or temporaries would be taken for sources
                try:
                    wanted.add_entries(source.name, source.dir_fd, opened, rules=self.options.rules, prefix=f"{shown}/")
                except OSError as error:
                    complete = self.delete = False
                    self.failed(below.path, says("opendir", source.name, error))
            self.level(below, wanted, depth=depth + 1, contents=complete, prefix=f"{shown}/")

    def _remove_others(self, at: Directory, wanted: Wanted, prefix: str) -> None:
        """``--delete``: remove what the source does not have and no rule protects."""
        for name in sorted(set(at.names()) - wanted.entries.keys(), key=os.fsencode):
            with self._failures(at.child(name)):
                there = at.lstat(name)
                if there is None or self._is_protected(prefix + name, there):
                    continue
                self.placer.way.remove(at, name, there, shown=prefix + name)

    def _is_protected(self, shown: str, there: os.stat_result) -> bool:
        return self.options.protecting.leave_out(shown, is_directory=stat.S_ISDIR(there.st_mode))

    def _leave(self, at: Directory, source: os.stat_result | None) -> None:
        """Close a directory, once all is in its place; ``source``: it was made, and gets this one's time."""

        def leave() -> None:
            with at:
                if source is not None:
                    self.set_time(at, source)

        self.batch.after(leave)

    def set_time(self, at: Directory, source: os.stat_result) -> None:
        """A new directory gets its source's time, after the last entry was made in it."""
        if self.options.times and not self.options.omit_dir_times:
            with self._failures(at.path):
                os.utime(at.fd, ns=(source.st_mtime_ns, source.st_mtime_ns))

    @contextlib.contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        """Report what fails inside, and go on."""
        try:
            yield
        except OSError as error:
            self.failed(path, says("placing", path, error))

    def failed(self, path: str, reason: str) -> None:
        """Report a failure; the rest goes on."""
        self.status = PARTIAL
        self.report(FileChange(path=path, change=Change.FAILED, reason=reason))


def says(what: str, path: str, error: OSError) -> str:
    """A reason in rsync's manner."""
    if error.errno is None:
        return f"rsync: {error}"
    return f'rsync: {what} "{path}" failed: {error.strerror} ({error.errno})'
