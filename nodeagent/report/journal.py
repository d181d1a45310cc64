"""The journal: every event, with its fields."""

import sys
import time

from nodeagent.model.events import Event, Reporter
from nodeagent.report import catalogue
from nodeagent.report.console import ConsoleReporter
from nodeagent.report.journald import SOCKET, Journald
from nodeagent.report.narrator import AGENT, WARNING, Entry, Narrator


class JournalReporter:
    """Writes every event to the journal. What journald did not take is told as soon as it takes something."""

    def __init__(self) -> None:
        self._narrator = Narrator()
        self._journald = Journald()
        self._lost = 0
        self._since = ""  # when the first of them was lost

    def report(self, event: Event) -> None:
        for entry in self._narrator.entries(event):
            self.catch_up()
            if not self._journald.send(_fields(entry)):
                self._since = self._since if self._lost else time.strftime("%Y-%m-%d %H:%M:%S")
                self._lost += 1

    def catch_up(self) -> None:
        """Tell of a loss, if there was one."""
        if not self._lost:
            return
        text = f"{self._lost} lines of this log are lost: journald took none since {self._since}; the work went on"
        entry = Entry(identifier=AGENT, priority=WARNING, message=text, message_id=catalogue.LINES_LOST)
        if self._journald.send(_fields(entry)):
            self._lost = 0


def open_reporter(*, verbose: bool = False) -> Reporter:
    """The journal where there is one, else stderr; ``verbose`` as in :class:`ConsoleReporter`."""
    return JournalReporter() if SOCKET.exists() else ConsoleReporter(sys.stderr, verbose=verbose)


def _fields(entry: Entry) -> dict[str, str]:
    fields = {
        "MESSAGE": entry.message,
        "PRIORITY": str(entry.priority),
        "SYSLOG_IDENTIFIER": entry.identifier,
        **entry.fields,
    }
    if entry.message_id:
        fields["MESSAGE_ID"] = entry.message_id
    return fields
