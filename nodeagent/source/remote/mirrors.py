"""In which order the servers of a repository are asked: as configured, but last what failed a moment ago."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nodeagent.errors import NodeagentError, TransientError

ASIDE = 900.0
"""Seconds that a server is asked after the others, once it has failed or was behind."""

_MOST = 65_536  # bytes of the file that are looked at


class Servers:
    """The servers of one repository. Where there is one alone, nothing is remembered.

    What is remembered is a file of the fetch user's own: it decides who is asked first, and nothing else.
    """

    def __init__(self, urls: Sequence[str], memory: Path) -> None:
        self._urls = urls
        self._memory = memory
        self._asking = memory.with_suffix(".asking")
        self._aside: dict[str, float] = self._read() if len(urls) > 1 else {}

    @property
    def several(self) -> bool:
        return len(self._urls) > 1

    def order(self) -> Sequence[str]:
        return sorted(self._urls, key=lambda url: url in self._aside)  # it keeps the order among equals

    @contextlib.contextmanager
    def asked(self, url: str) -> Iterator[None]:
        """While the block runs, the server is asked; if that lasts until this process is killed, the next one knows."""
        if not self.several:
            yield
            return
        with contextlib.suppress(OSError):
            self._asking.write_text(url)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._asking.unlink()

    def set_aside(self, urls: Sequence[str]) -> None:
        """Remember that these failed just now."""
        if self.several and urls:
            self._remember({**self._aside, **dict.fromkeys(urls, time.time())})

    def _remember(self, aside: dict[str, float]) -> None:
        self._aside = aside
        text = json.dumps(aside)
        temporary = self._memory.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk: then the next poll waits for them once more
            temporary.write_text(text)
            temporary.rename(self._memory)

    def _read(self) -> dict[str, float]:
        """What is still aside; a time in the future is from before the clock was set."""
        held_up = self._held_up()
        found = {**self._written(), **held_up}
        now = time.time()
        aside = {url: at for url, at in found.items() if url in self._urls and 0 <= now - at < ASIDE}
        if held_up:
            self._remember(aside)
            with contextlib.suppress(OSError):
                self._asking.unlink()
        return aside

    def _written(self) -> dict[str, float]:
        try:
            with self._memory.open("rb") as stream:
                found = json.loads(stream.read(_MOST))
        except (OSError, ValueError, RecursionError):
            return {}
        times = found.items() if isinstance(found, dict) else ()
        return {url: at for url, at in times if isinstance(at, float)}

    def _held_up(self) -> dict[str, float]:
        """The server that was being asked when the last process that asked was killed."""
        try:
            with self._asking.open(errors="replace") as stream:
                return {stream.read(_MOST): os.fstat(stream.fileno()).st_mtime}
        except OSError:
            return {}


def none_left(failures: Mapping[str, NodeagentError]) -> NodeagentError:
    """One error for all servers: transient if one of them is, since then trying again may help."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    errors = list(failures.values())
    kind = type(next((error for error in errors if isinstance(error, TransientError)), errors[0]))
    told = "; ".join(f"({number}) {named(url, error)}" for number, (url, error) in enumerate(failures.items(), 1))
    return kind(f"none of the {len(errors)} servers can be followed: {told}")


def named(url: str, error: NodeagentError) -> str:
    """The error's message, with the server's address before it unless it begins with that."""
    text = str(error)
    return text if text.startswith(url) else f"{url}: {text}"
