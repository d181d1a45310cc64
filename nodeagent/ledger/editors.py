"""Which steps write to which destinations behind the verbs that place them: seen when a step ends.

It is asked for when such a verb comes again: a file that steps edit is to stand as they leave it, not as the verb does.
"""

import os
from collections.abc import Sequence

from nodeagent.ledger.database import Connection

_Look = tuple[int, ...] | None
_MOST = 1000  # destinations that are looked at whenever a step ends (5 µs each), beside those that steps edit


class Editors:
    """Of one source, in one evaluation. A step is named by its statement's key and its reach.

    ``paths`` are the destinations that steps edited before this evaluation.
    """

    def __init__(self, connection: Connection, source: int) -> None:
        self._connection = connection
        self._source = source
        self._looks: dict[str, _Look] = {}
        self._written: set[str] = set()
        rows = connection.execute("SELECT DISTINCT path FROM editor WHERE source = ?", (source,))
        self.paths = frozenset(os.fsdecode(row[0]) for row in rows)

    def of(self, path: str) -> Sequence[tuple[str, int]]:
        """The steps that edited a destination, the last time that they ran behind its verb."""
        rows = self._connection.execute(
            "SELECT key, reach FROM editor WHERE path = ? AND source = ?", (os.fsencode(path), self._source)
        )
        return [(key, reach) for key, reach in rows]

    def renew(self, path: str, steps: Sequence[tuple[str, int]]) -> None:
        """The destination is about to be placed anew, and these steps are to edit it again."""
        self._connection.executemany(
            "UPDATE editor SET anew = 1 WHERE path = ? AND source = ? AND key = ? AND reach = ?",
            [(os.fsencode(path), self._source, key, reach) for key, reach in steps],
        )

    def renewed(self, key: str, reach: int) -> str:
        """A destination that was placed anew for the step to edit, and that it has not edited yet; empty: none."""
        row = self._connection.execute(
            "SELECT path FROM editor WHERE source = ? AND key = ? AND reach = ? AND anew LIMIT 1",
            (self._source, key, reach),
        ).fetchone()
        return os.fsdecode(row[0]) if row else ""

    def placed(self, path: str, *, written: bool, edited: bool) -> None:
        """A verb has seen to a destination.

        Args:
            path: The destination.
            written: A verb of this evaluation has made it what it is.
            edited: Steps edited it the last time: it is looked at however many there are.
        """
        if edited or path in self.paths or path in self._looks or len(self._looks) < _MOST:
            self._looks[path] = _look(path)
        if written:
            self._written.add(path)

    def ended(self, key: str, reach: int) -> None:
        """A step has come to its end: note what it has changed of what verbs have placed before it."""
        edited = []
        for path, before in self._looks.items():
            now = _look(path)
            if now != before:
                self._looks[path] = now
                edited.append(path)
        step = (self._source, key, reach)
        known = self._connection.execute("SELECT path FROM editor WHERE source = ? AND key = ? AND reach = ?", step)
        spared = {os.fsdecode(row[0]) for row in known} & self._written - set(edited)
        self._connection.executemany(
            "DELETE FROM editor WHERE source = ? AND key = ? AND reach = ? AND path = ?",
            [(*step, os.fsencode(path)) for path in spared],
        )
        self._connection.execute("UPDATE editor SET anew = 0 WHERE source = ? AND key = ? AND reach = ?", step)
        self._connection.executemany(
            "INSERT OR REPLACE INTO editor (source, key, reach, path, anew) VALUES (?, ?, ?, ?, 0)",
            [(*step, os.fsencode(path)) for path in edited],
        )


def _look(path: str) -> _Look:
    """What tells that a file was written to, or given another mode or owner. Each step asks it of every destination."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_mode, found.st_ino, found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns)
