"""How much of the node the processes may take that handle what a server sends, whatever it sends."""

import resource
from pathlib import Path

from nodeagent.config import Limits

_ROOM = 128 * 2**20  # bytes of memory, for all but the contents of objects
_AT_ONCE = 3  # largest files: a delta, what it is applied to, and what comes of it
_STACK = 2**23  # bytes, of a thread
_PACKED = 4  # times limits.total_bytes: with a history


def bound(limits: Limits, *, threads: int = 0) -> None:
    """Bound the memory that this process, a child for one fetch or hand-over, still gets, and the files that it writes.

    A few hundred bytes of deltas can stand for as many gigabytes, and a stream may have no end: what is asked for
    beyond the bounds is refused by the kernel, and told as an error.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # proc(5): what RLIMIT_DATA counts
    _lower(
        resource.RLIMIT_DATA, pages * resource.getpagesize() + _AT_ONCE * limits.file_bytes + _ROOM + threads * _STACK
    )
    _lower(resource.RLIMIT_FSIZE, _PACKED * limits.total_bytes)


def _lower(what: int, bound: int) -> None:
    _, hard = resource.getrlimit(what)
    bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(what, (bound, bound))
