"""The destinations as the last evaluation of a source left them, for the one that is under way.

All of them are read at once: an evaluation asks for nearly each, and twenty thousand questions take longer than one.
"""

import os
from typing import Any

from nodeagent.ledger.chain import Past
from nodeagent.ledger.database import Connection
from nodeagent.ledger.destinations import LEFT, Row, digest, lstat, row_of
from nodeagent.model import Content

REMOVED = "removed"  # in the place of a digest


class Pasts:
    """Asked for a path before the evaluation changes it."""

    def __init__(self, connection: Connection, source: int) -> None:
        self._pasts: dict[bytes, Past | None] = {}
        self._rows: dict[bytes, list[Any]] = {
            path: values
            for path, *values in connection.execute(
                f"SELECT path, native_digest, left_digest, {LEFT} FROM destination WHERE source = ?", (source,)
            )
        }
        self._links: dict[bytes, list[list[Any]]] = {}
        for path, *link in connection.execute(
            "SELECT path, kind, digest, mode, uid, gid, read FROM link ORDER BY path, position"
        ):
            self._links.setdefault(path, []).append(link)

    def find(self, path: str) -> Past | None:
        """None for one that the source has not placed."""
        key = os.fsencode(path)
        if key not in self._pasts:
            self._pasts[key] = self._past(path, key)
        return self._pasts[key]

    def _past(self, path: str, key: bytes) -> Past | None:
        found, links = self._rows.get(key), self._links.get(key)
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
