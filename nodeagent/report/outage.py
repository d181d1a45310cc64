"""Problems in the log: once when they begin or change, once when they end, and not at every poll."""

from collections.abc import Iterator

from nodeagent.model.events import Notice
from nodeagent.model.outcomes import Failure
from nodeagent.report.narrator import ERROR, NOTICE, WARNING

_TEXTS = 8  # of one problem; one that words itself anew each time is cut short here


class Outage:
    """The trouble that one activity is in, or is not.

    Args:
        what: the activity, for the line that says that it works again.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._code = ""
        self._said: set[str] = set()

    def observe(self, failure: Failure | None, traceback: str = "") -> Iterator[Notice]:
        """What to log now that the activity has ended in this way.

        Args:
            failure: None: it went well.
            traceback: of a worker that crashed: logged with the failure.
        """
        if failure is None:
            if self._code:
                yield Notice(priority=NOTICE, text=f"{self._what}: recovered from {self._code}", code=self._code)
            self._code = ""
            return
        if failure.code != self._code:
            self._code = failure.code
            self._said.clear()
        if failure.message in self._said or len(self._said) >= _TEXTS:
            return
        self._said.add(failure.message)
        priority = WARNING if failure.transient else ERROR
        yield Notice(priority=priority, text=failure.message, code=failure.code)
        if traceback:
            yield Notice(priority=ERROR, text=traceback.rstrip(), code=failure.code)
