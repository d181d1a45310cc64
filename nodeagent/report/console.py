"""The same texts for a person who looks on: one line an entry, in colour on a terminal."""

import contextlib
import os
from typing import TextIO

from nodeagent.model.events import Event
from nodeagent.report.narrator import DEBUG, ERROR, INFO, WARNING, Narrator

_COLOURS = {ERROR: "\33[31m", WARNING: "\33[33m", DEBUG: "\33[2m"}
_PLAIN = "\33[0m"


class ConsoleReporter:
    """Writes events to a stream, as long as it takes them: a full disk or a reader that is gone stops no work.

    Args:
        stream: usually stderr: stdout belongs to results.
        verbose: also say what was left as it is.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._narrator = Narrator()
        self._stream = stream
        self._least = DEBUG if verbose else INFO
        self._colour = stream.isatty() and "NO_COLOR" not in os.environ

    def report(self, event: Event) -> None:
        for entry in self._narrator.entries(event):
            if entry.priority > self._least:
                continue
            text = f"{entry.identifier}: {entry.message}".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            colour = _COLOURS.get(entry.priority, "") if self._colour else ""
            with contextlib.suppress(OSError):
                self._stream.write(f"{colour}{text}{_PLAIN if colour else ''}\n")
        with contextlib.suppress(OSError):
            self._stream.flush()
