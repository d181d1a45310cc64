"""Where reports go on this machine."""

import sys

from nodeagent.model import Reporter
from nodeagent.report.console import ConsoleReporter
from nodeagent.report.journal import SOCKET, JournalReporter


def open_reporter(*, verbose: bool = False) -> Reporter:
    """The journal where there is one, else stderr; ``verbose`` as in :class:`ConsoleReporter`."""
    return JournalReporter() if SOCKET.exists() else ConsoleReporter(sys.stderr, verbose=verbose)
