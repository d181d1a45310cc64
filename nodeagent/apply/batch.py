"""Files that get their names together, after one wait for the disk.

Each is complete under its temporary name, beside its destination. Then the filesystem is asked once to write out what
it holds (or, while others have much to be written, these files alone), and only then the names are given, one after the
other: whenever the machine or the agent stops, each destination is wholly old or wholly new. A batch is bounded, in
files (each holds a descriptor) and in bytes (each stands beside what it replaces).
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nodeagent.apply.atomic import AtomicFile
from nodeagent.apply.durable import begin_to_write, much_waits, sync_filesystem

_FILES = 128
_ACTIONS = 64  # most of them hold a directory open
_BYTES = 16 * 2**20

# So few are waited for one by one: as fast, and what others have written to the filesystem is not waited for.
_FEW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A file that waits for its name.

    ``path`` is its destination, ``directory`` a descriptor of that one's directory, ``size`` in bytes. ``put`` gives it
    its name and reports it, or raises OSError.
    """

    path: str
    directory: int
    file: AtomicFile
    size: int
    put: Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Batch:
    """The files staged so far, and what has to wait for them. ``failed`` is told which could not be placed, and why.

    Call :meth:`flush` in the end, and :meth:`drop` whatever happened.
    """

    failed: Callable[[str, OSError], None]
    _files: deque[Staged] = field(default_factory=deque)
    _actions: deque[Callable[[], None]] = field(default_factory=deque)
    _directories: set[int] = field(default_factory=set)  # descriptors
    _bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self._files)

    def add(self, staged: Staged) -> None:
        """Take a file over. Its directory must stay open until an action of :meth:`after` is called."""
        self._directories.add(staged.directory)
        self._files.append(staged)
        self._bytes += staged.size
        if len(self._files) >= _FILES or self._bytes >= _BYTES:
            self.flush()

    def is_in(self, directory: os.stat_result) -> bool:
        """Whether a file of this directory is staged."""
        return any(os.path.samestat(directory, os.fstat(fd)) for fd in self._directories)

    def after(self, action: Callable[[], None]) -> None:
        """Call this once what is staged by now is in its place: at once, if nothing is staged."""
        self._actions.append(action)
        if not self._files or len(self._actions) >= _ACTIONS:
            self.flush()

    def flush(self) -> None:
        """Put everything in its place."""
        self._make_durable()
        while self._files:
            staged = self._files.popleft()
            with contextlib.closing(staged.file):
                try:
                    staged.put()
                except OSError as error:
                    self.failed(staged.path, error)
        self.drop()

    def drop(self) -> None:
        """Remove what is not in its place."""
        while self._files:
            self._files.popleft().file.close()
        self._directories.clear()
        self._bytes = 0
        while self._actions:
            self._actions.popleft()()

    def _make_durable(self) -> None:
        """Wait until the content is on disk; a file that the disk does not take is dropped."""
        if len(self._files) > _FEW and not much_waits(ours=self._bytes):
            with contextlib.suppress(OSError):  # then it is to be found out whose content it is
                for fd in {os.fstat(staged.file.fd).st_dev: staged.file.fd for staged in self._files}.values():
                    sync_filesystem(fd)
                return
        for staged in self._files:
            begin_to_write(staged.file.fd)
        for _ in range(len(self._files)):
            staged = self._files.popleft()
            try:
                os.fsync(staged.file.fd)
                self._files.append(staged)
            except OSError as error:
                staged.file.close()
                self.failed(staged.path, error)
