"""The destinations as the last evaluation of a source left them, for the one that is under way.

All of them are read at once: an evaluation asks for nearly each, and twenty thousand questions take longer than one.
"""

import os
import stat
from typing import Any

from nodeagent.ledger.chain import Past
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import LEFT, Row, digest, lstat, row_of
from nodeagent.model.destinations import Content, Stat

REMOVED = "removed"  # in the place of a digest


class Pasts:
    """Asked for a path before the evaluation changes it."""

    def __init__(self, connection: Connection, source: int) -> None:
        self._pasts: dict[str, Past | None] = {}
        self._rows: dict[str, tuple[Any, ...]] = {
            os.fsdecode(row[0]): row[1:]
            for row in connection.execute(
                f"SELECT path, native_digest, left_digest, {LEFT} FROM destination WHERE source = ?", (source,)
            )
        }
        self._links: dict[str, list[tuple[Any, ...]]] = {}
        for row in connection.execute(
            "SELECT path, kind, digest, mode, uid, gid, read FROM link ORDER BY path, position"
        ):
            self._links.setdefault(os.fsdecode(row[0]), []).append(row[1:])

    def find(self, path: str) -> Past | None:
        """None for one that the source has not placed."""
        if path not in self._pasts:
            self._pasts[path] = self._past(path)
        return self._pasts[path]

    def is_as_left(self, path: str, now: Stat | None) -> bool:
        """By its lstat, and if it was more than one verb that has placed it, no."""
        return len(self._links[path]) == 1 and self._rows[path][2:] == now

    def is_untouched(self, path: str, now: Stat, asked: tuple[int, int, int, bytes]) -> bool:
        """Whether no step has edited it, its lstat is as it was left, and the first verb asked for the same.

        ``asked`` are mode, owner, and the fingerprint of the regular file that is read.
        """
        found, links = self._rows.get(path), self._links.get(path)
        if found is None or not links:
            return False
        native, left, *look = found
        kind, _, *wanted = links[0]
        return native == left and tuple(look) == now and kind == stat.S_IFREG and tuple(wanted) == asked

    def _past(self, path: str) -> Past | None:
        found, links = self._rows.get(path), self._links.get(path)
        if found is None or not links:
            return None
        chain = [Content(kind=k, digest=d, mode=m, uid=u, gid=g) for k, d, m, u, g, _ in links]
        reads = [link[5] for link in links]
        native, left_digest, mode, *_ = found
        if mode is not None:
            return Past(row=row_of(found), chain=chain, reads=reads)
        now = lstat(path)  # the evaluation that placed it was cut short: it counts as left as it is
        left_digest = digest(path, now.mode) if now is not None else REMOVED
        return Past(row=Row(native or left_digest, left_digest, now), chain=chain, reads=reads, cut_short=True)
