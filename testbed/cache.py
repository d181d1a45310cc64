"""What takes long to make, made once and kept outside the project, in ``${XDG_CACHE_HOME:-~/.cache}/nodeagent``.

What is kept is named after what it is made of; one that is made of something else takes its place.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodeagent"


@contextmanager
def locked() -> Iterator[Path]:
    """The directory, for one process at a time."""
    cache = directory()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def kept(kind: str, made_of: Sequence[str | bytes], make: Callable[[Path], None]) -> Path:
    """A directory of the cache, filled by ``make`` if there is none that is made of the same."""
    with locked() as cache:
        found = cache / f"{kind}-{_digest(made_of)}"
        if found.is_dir():
            return found
        for old in cache.glob(f"{kind}-*"):
            shutil.rmtree(old)
        unfinished = cache / f"{kind}-unfinished"
        unfinished.mkdir()
        make(unfinished)
        unfinished.rename(found)
        return found


def _digest(parts: Sequence[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
