"""What stands otherwise than post.sh says, and is left so on purpose: for ``status``, a line each."""

import os
import time
from collections.abc import Iterator, Sequence

from nodeagent.ledger.database import Connection
from nodeagent.ledger.drift import Repairs

_MOST = 50


def remarks(connection: Connection, source: int, now: float) -> Sequence[str]:
    """At most so many lines as a person reads; the last one says how many more there are."""
    lines = tuple(_lines(connection, source, now))
    return lines if len(lines) <= _MOST else (*lines[:_MOST], f"... and {len(lines) - _MOST} more")


def _lines(connection: Connection, source: int, now: float) -> Iterator[str]:
    for path, times, last in connection.execute(
        "SELECT path, times, last FROM repair WHERE source = ? ORDER BY path", (source,)
    ):
        known = Repairs(times=times, last=last)
        if known.is_contended and known.after_one_more(now).times > 1:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(last + known.wait))
            yield f"contended: {os.fsdecode(path)} was repaired {times} times: not again before {until}"
    for (path,) in connection.execute("SELECT path FROM reported WHERE source = ? ORDER BY path", (source,)):
        yield f"drifted: {os.fsdecode(path)} is not as it was left; it is only told"
    for (path,) in connection.execute("SELECT path FROM undone WHERE source = ? ORDER BY path", (source,)):
        yield f"undone: {os.fsdecode(path)} is left alone until `nodeagent redo`"
    for (text,) in connection.execute("SELECT text FROM orphan WHERE source = ? ORDER BY text", (source,)):
        yield f"in no step any more: {text}"
