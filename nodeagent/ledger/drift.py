"""What becomes of drift: repaired, only told, or, where it comes again and again, repaired ever more rarely.

:func:`judge` and what it asks are pure but for the ledger's own notes.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.config import Drift
from nodeagent.ledger.database import Connection

CONTENDED = 3
"""So many repairs, each soon after the one before, and somebody else writes there too."""
_FIRST_WAIT = 600.0  # seconds after the repair that made it contended
_LONGEST_WAIT = 86_400.0
_QUIET = 86_400.0  # seconds without drift, beyond the wait, after which it is forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """How often a path was repaired, and when last (seconds since the epoch)."""

    times: int
    last: float

    @property
    def is_contended(self) -> bool:
        return self.times >= CONTENDED

    @property
    def wait(self) -> float:
        """Seconds between the last repair and the next."""
        if not self.is_contended:
            return 0.0
        return min(_FIRST_WAIT * 2.0 ** min(self.times - CONTENDED, 20), _LONGEST_WAIT)

    def is_due(self, now: float) -> bool:
        """Whether it may be repaired; a clock that was set back is no reason to wait for it."""
        return not self.last <= now < self.last + self.wait

    def after_one_more(self, now: float) -> "Repairs":
        forgotten = not self.last <= now < self.last + self.wait + _QUIET
        return Repairs(times=1 if forgotten else self.times + 1, last=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The paths that drifted: to be repaired now, only told, and contended ones whose time has not come."""

    repair: Sequence[str] = ()
    report: Sequence[str] = ()
    wait: Sequence[str] = ()


def policy_of(path: str, table: Mapping[str, Drift]) -> Drift:
    """The policy of the longest path of the table that is the path or a directory above it."""
    tops = [top for top in table if path == top or path.startswith(top.rstrip("/") + "/")]
    return table[max(tops, key=len)] if tops else "repair"


def judge(connection: Connection, drifted: Iterable[str], table: Mapping[str, Drift], now: float) -> Judged:
    repair: list[str] = []
    report: list[str] = []
    wait: list[str] = []
    for path in drifted:
        known = repairs(connection, path)
        if policy_of(path, table) == "report":
            report.append(path)
        elif known is not None and not known.is_due(now):
            wait.append(path)
        else:
            repair.append(path)
    return Judged(repair=repair, report=report, wait=wait)


def repairs(connection: Connection, path: str) -> Repairs | None:
    row = connection.execute("SELECT times, last FROM repair WHERE path = ?", (os.fsencode(path),)).fetchone()
    return Repairs(times=row[0], last=row[1]) if row else None


def note_repaired(connection: Connection, source: int, paths: Iterable[str], now: float) -> Sequence[str]:
    """Note that drift was repaired; returns the paths that are contended since."""
    news = []
    with connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM repair WHERE last < ?", (now - _LONGEST_WAIT - _QUIET,))
        for path in paths:
            before = repairs(connection, path) or Repairs(times=0, last=now)
            after = before.after_one_more(now)
            if after.is_contended and not before.is_contended:
                news.append(path)
            connection.execute(
                "INSERT OR REPLACE INTO repair VALUES (?, ?, ?, ?)",
                (os.fsencode(path), source, after.times, after.last),
            )
    return news


def note_reported(connection: Connection, source: int, paths: Iterable[str]) -> Sequence[str]:
    """Note what has drifted and is only told; returns what was not told before."""
    now = {os.fsencode(path) for path in paths}
    before = {row[0] for row in connection.execute("SELECT path FROM reported WHERE source = ?", (source,))}
    if now == before:
        return []
    with connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM reported WHERE source = ?", (source,))
        connection.executemany("INSERT OR REPLACE INTO reported VALUES (?, ?)", [(path, source) for path in now])
    return sorted(os.fsdecode(path) for path in now - before)
