"""The journal, through journald's native protocol (``systemd.journal-fields(7)``)."""

import contextlib
import os
import sys
from pathlib import Path

from systemd.journal import sendv  # noqa: TID251 - the door

from nodeagent.model import Event, Reporter
from nodeagent.report.console import ConsoleReporter
from nodeagent.report.narrator import Entry, Narrator

SOCKET = Path("/run/systemd/journal/socket")


class JournalReporter:
    """Writes every event to the journal.

    Where journald is slow, this waits for it, as every service does: so a script that floods its output is slowed down
    to what the node can log, and nothing is lost.
    """

    def __init__(self) -> None:
        self._narrator = Narrator()

    def report(self, event: Event) -> None:
        for entry in self._narrator.entries(event):
            with contextlib.suppress(OSError):  # journald is gone: a line is lost, the work goes on
                sendv(*_fields(entry))


def open_reporter(*, verbose: bool = False) -> Reporter:
    """The journal where there is one, else stderr; ``verbose`` as in :class:`ConsoleReporter`."""
    return JournalReporter() if SOCKET.exists() else ConsoleReporter(sys.stderr, verbose=verbose)


def _fields(entry: Entry) -> list[bytes]:
    fields = {
        "MESSAGE": entry.message,
        "PRIORITY": str(entry.priority),
        "SYSLOG_IDENTIFIER": entry.identifier,
        **entry.fields,
    }
    if entry.message_id:
        fields["MESSAGE_ID"] = entry.message_id
    return [os.fsencode(f"{name}={value}") for name, value in fields.items()]
