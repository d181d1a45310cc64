"""Contents of files, each once, under its SHA-256: what verbs replaced, and what later steps made of what verbs wrote.

A content is on disk before a row refers to it. One to which no row refers any more goes when an evaluation ends.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import digest, lstat
from nodeagent.model.destinations import Block, Entry, Stat

_CHUNK = 2**20
_STAGED = ".new"
EDITED = "left_digest IS NOT NULL AND left_digest <> native_digest"
"""Of a destination's row: a later step has edited what the verbs wrote."""


Rest = Callable[[bytes, Sequence[Block], Sequence[Entry]], bytes | None]


class Kept:
    """A directory of contents.

    ``limit`` is the size, in bytes, of the largest file that is kept. ``rest`` says what others have written of a
    content, beside blocks and entries; None: none of these stand in it.
    """

    def __init__(self, directory: Path, *, limit: int, rest: Rest) -> None:
        self._directory = directory
        self._limit = limit
        self._rest = rest

    def keep(self, path: str) -> str:
        """Keep the content of a regular file; gives its digest, or an empty text where the file is too large.

        Raises:
            OSError: it cannot be read, or the copy cannot be written.
        """
        found = lstat(path)
        if found is None or found.size > self._limit:
            return ""
        name = digest(path, found.mode)
        return name if (self._directory / name).exists() else self._copy(path)

    def note(self, connection: Connection, path: str, found: Stat, *, evaluation: int) -> None:
        """Keep what stands at a path, as what stood there before nodeagent.

        Raises:
            OSError: as :meth:`keep`.
        """
        content = self.keep(path) if stat.S_ISREG(found.mode) else digest(path, found.mode)
        _insert(connection, path, found, content, evaluation=evaluation, instead=False)

    def note_rest(
        self,
        connection: Connection,
        path: str,
        found: Stat,
        blocks: Sequence[Block],
        entries: Sequence[Entry],
        *,
        evaluation: int,
    ) -> None:
        """Keep what others have made of a file since it was first kept: without what nodeagent has added to it.

        Raises:
            OSError: as :meth:`keep`.
        """
        rest = self._rest(Path(path).read_bytes(), blocks, entries) if stat.S_ISREG(found.mode) else None
        if rest is not None:
            content = self._write([rest]) if len(rest) <= self._limit else ""
            _insert(connection, path, found, content, evaluation=evaluation, instead=True)

    def find(self, name: str) -> Path | None:
        """Where the content with a digest is, None where it was not kept."""
        copy = self._directory / name
        return copy if name and copy.is_file() else None

    def collect(self, connection: Connection) -> None:
        """Remove every content to which no row refers."""
        if not self._directory.is_dir():
            return
        rows = connection.execute(
            f"SELECT digest FROM kept UNION SELECT left_digest FROM destination WHERE {EDITED}"
        ).fetchall()
        for name in {entry.name for entry in os.scandir(self._directory)} - {row[0] for row in rows}:
            (self._directory / name).unlink()

    def _copy(self, path: str) -> str:
        """The name is that of the bytes that were copied, whatever is written to the file meanwhile."""
        read = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(read, "rb") as source:
            return self._write(iter(lambda: source.read(_CHUNK), b""))

    def _write(self, chunks: Iterable[bytes]) -> str:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        staged = self._directory / _STAGED
        hashed = hashlib.sha256()
        with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as to:
            for chunk in chunks:
                to.write(chunk)
                hashed.update(chunk)
            to.flush()
            os.fsync(to.fileno())
        staged.rename(self._directory / hashed.hexdigest())
        _sync(self._directory)
        return hashed.hexdigest()


def edited(connection: Connection) -> set[str]:
    """The digests of all contents that later steps made of what verbs wrote."""
    return {row[0] for row in connection.execute(f"SELECT left_digest FROM destination WHERE {EDITED}")}


def _insert(connection: Connection, path: str, found: Stat, content: str, *, evaluation: int, instead: bool) -> None:
    connection.execute(
        f"INSERT OR {'REPLACE' if instead else 'IGNORE'} INTO kept VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            os.fsencode(path),
            stat.S_IFMT(found.mode),
            content,
            stat.S_IMODE(found.mode),
            found.uid,
            found.gid,
            evaluation,
        ),
    )


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
