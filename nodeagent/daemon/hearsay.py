"""What a poll worker says, as far as it is believed: it speaks to the network, and may have been taken over.

Its frames have the types that they claim, or it is ended (:mod:`nodeagent.workers.worker`). Here their content is made
harmless: text on one line and not without end, codes that exist, a commit that is one. Whether that commit may be taken
is for the hand-over to prove.
"""

import re
from dataclasses import replace

from nodeagent.errors import TransientError, WorkerFailed, by_code
from nodeagent.model.events import Event, Looked, Notice, Reporter
from nodeagent.model.outcomes import AcceptOutcome, Failure, PollOutcome
from nodeagent.source.foreign import one_line
from nodeagent.workers import worker
from nodeagent.workers.worker import Job

KINDS = (Looked, Notice)
"""What a poll worker may report; another kind ends it."""

_HEX = re.compile(r"[0-9a-f]{0,64}")
_LONGEST = 2000  # characters of a message
_MOST = 200  # notices of one worker: it tries again for an interval at most, and waits longer each time
_LOUDEST, _QUIETEST = 4, 7  # syslog severities: warning, debug


class Hearsay:
    """Of one poll worker."""

    def __init__(self) -> None:
        self.looked: Looked | None = None
        """The first word: it still was root then, and had not asked anybody."""
        self._notices = 0

    def event(self, event: Event) -> Notice | None:
        """What of an event is to be passed on."""
        if isinstance(event, Looked):
            self.looked = self.looked or event
        if not isinstance(event, Notice) or self._notices >= _MOST:
            return None
        self._notices += 1
        known = not event.code or by_code(event.code, "").code == event.code
        return Notice(
            priority=min(max(event.priority, _LOUDEST), _QUIETEST),
            text=_text(event.text),
            code=event.code if known else WorkerFailed.code,
        )


def run(name: str, job: Job, reporter: Reporter, *, time_limit: float) -> PollOutcome | AcceptOutcome | Failure:
    """:func:`nodeagent.workers.worker.run` for a command line whose worker speaks to the network."""
    return outcome(worker.run(name, job, _Filter(reporter), time_limit=time_limit, kinds=KINDS))


class _Filter:
    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._said = Hearsay()

    def report(self, event: Event) -> None:
        if notice := self._said.event(event):
            self._reporter.report(notice)


def outcome(said: object) -> PollOutcome | AcceptOutcome | Failure:
    """What the worker came to."""
    match said:
        case Failure():
            return _failure(said)
        case PollOutcome(commit=commit, failure=failure) if _HEX.fullmatch(commit):
            return said if failure is None else replace(said, failure=_failure(failure))
        case AcceptOutcome(commit=commit, head=head, shown=shown) if _HEX.fullmatch(commit) and _HEX.fullmatch(head):
            return replace(said, shown=_text(shown))
        case _:
            message = "the poll worker gave what is no commit; this is a fault of nodeagent's own, or it was taken over"
            return Failure(code=WorkerFailed.code, message=message, transient=True)


def _failure(said: Failure) -> Failure:
    error = by_code(said.code, _text(said.message))
    return Failure(code=error.code, message=_text(str(error)), transient=isinstance(error, TransientError))


def _text(text: str) -> str:
    return one_line(text[:_LONGEST])
