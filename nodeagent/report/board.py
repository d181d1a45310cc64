"""What the daemon knows of its node, and who is told: the log, ``status.json``, the service manager."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeagent.errors import NotNow, WorkerFailed
from nodeagent.model.events import EvaluationEnded, EvaluationStarted, Event, Notice, Reporter
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome, Status
from nodeagent.report import conditions, notify, readiness, status
from nodeagent.report.narrator import WARNING
from nodeagent.report.outage import Outage


class Board:
    """Takes in what happens, and gives out the state that follows from it.

    Args:
        directory: where ``status.json`` is kept. What an earlier daemon of this boot left there is carried on, so that
            a restart does not make a node unready.
        reporter: gets all events, and the board's own notices.
        version: of nodeagent.
        url: of the source.
        all_steps: a node with a failed or pending step does not become ready.
        catch_up: called with each publication, so that what the log lost is told although nothing else happens.
    """

    def __init__(
        self,
        directory: Path,
        reporter: Reporter,
        *,
        version: str,
        url: str,
        all_steps: bool = False,
        catch_up: Callable[[], None] | None = None,
    ) -> None:
        self.url = url
        self.all_steps = all_steps
        self._catch_up = catch_up
        self._directory = directory
        self._reporter = reporter
        self._version = version
        before = status.read(directory)
        outcome = conditions.of_the_last_run(before) if before else None
        self._facts = conditions.Facts(outcome=outcome, ready=outcome is not None and outcome.ready)
        self._conditions = tuple(before.conditions) if before else ()
        self._next_poll: int | None = None
        self._last_poll = before.last_poll if before else None
        self._last_beacon = before.last_beacon if before else None
        self._polling, self._applying, self._reloading = Outage("poll"), Outage("apply"), Outage("configuration")
        self._file = Outage("status file")
        self._shown: Status | None = None
        self._line = ""
        self._news = True  # something was taken in since the last publication

    def hear(self, event: Event) -> None:
        """Pass an event of an apply worker on."""
        match event:
            case EvaluationStarted(revision=revision):
                self._learn(progress=revision)
            case EvaluationEnded(finished=finished):
                self._learn(progress="", unfinished=not finished)
            case _:
                pass
        self._reporter.report(event)

    def hear_poll(self, event: Event) -> None:
        """Pass an event of a poll worker on. An attempt that failed and will be repeated is a problem like another."""
        match event:
            case Notice(code=code, text=text) if code:
                failure = Failure(code=code, message=text, transient=True)
                self._log(self._polling, failure)
                self._learn(poll=failure)
            case _:
                self._reporter.report(event)

    def scheduled(self, next_poll: float) -> None:
        """The next poll is at this time, in seconds since the epoch."""
        self._next_poll = round(next_poll)
        self._news = True

    def reloaded(self, failure: Failure | None) -> None:
        """The configuration was read again; with a failure, the old one stays."""
        self._log(self._reloading, failure)
        self._learn(reload=failure)

    def polled(self, outcome: object, traceback: str = "") -> None:
        """A poll worker has ended; see :class:`~nodeagent.workers.worker.Worker` for both arguments."""
        failure = outcome.failure if isinstance(outcome, PollOutcome) else _failure(outcome)
        self._log(self._polling, failure, traceback)
        if isinstance(outcome, PollOutcome) and failure is None:
            now = round(time.time())
            self._last_poll = self._last_poll if outcome.by_beacon else now
            self._last_beacon = now if outcome.by_beacon else self._last_beacon
        self._learn(poll=failure)

    def applied(self, outcome: object, traceback: str = "") -> None:
        """An apply worker has ended."""
        failure = outcome.failure if isinstance(outcome, ApplyOutcome) else _failure(outcome)
        if self._facts.progress:  # its evaluation never said that it ended
            self._learn(progress="", unfinished=True)
        if failure is not None and failure.code == NotNow.code:
            return  # a command line is at work: it sees to the node, and what it does is found at the next cycle
        self._log(self._applying, failure, traceback)
        if isinstance(outcome, ApplyOutcome) and (failure is None or outcome.attempted or self._facts.outcome is None):
            self._take(outcome)
        self._learn(apply=failure)

    def publish(self) -> None:
        """Let everybody know, as far as there is news."""
        if self._catch_up is not None:
            self._catch_up()
        if not self._news:
            return
        self._news = False
        self._conditions = conditions.conditions(self._facts, self._conditions, round(time.time()))
        now = self._status()
        if now == self._shown:
            return
        try:
            self._show_readiness(now)
            status.write(self._directory, now)
        except OSError as error:
            message = f"{self._directory / status.FILE}: cannot be written: {error.strerror}"
            self._log(self._file, Failure(code="StatusNotWritten", message=message, transient=True))
            self._news = True
        else:
            self._shown = now
            self._log(self._file, None)
        if (line := status.line(now)) != self._line:
            self._line = line
            notify.status(line)

    def _show_readiness(self, now: Status) -> None:
        if not self._facts.ready:
            readiness.remove(str(self._directory))
        elif readiness.read(str(self._directory)) != now.applied:
            readiness.write(str(self._directory), now.applied)

    @property
    def line(self) -> str:
        """What the service manager was told last."""
        return self._line

    def _learn(self, **what: Any) -> None:
        facts = replace(self._facts, **what)
        self._news = self._news or facts != self._facts
        self._facts = facts

    def _take(self, outcome: ApplyOutcome) -> None:
        observing = self._facts.outcome is not None and self._facts.outcome.mode is Mode.OBSERVING
        if outcome.mode is Mode.OBSERVING and not observing:
            text = (
                'nothing is touched on this node, by mode = "observe" or as a first start on a node that is in use:'
                " `nodeagent adopt` takes what is there as done, `nodeagent apply` goes ahead"
            )
            self._reporter.report(Notice(priority=WARNING, text=text))
        # What an observer has pending is what it would run: it has told itself whether the steps are all done.
        whole = outcome.mode is Mode.OBSERVING or not self.all_steps or not (outcome.failed_steps or outcome.pending)
        self._learn(outcome=outcome, ready=self._facts.ready or (outcome.ready and whole))

    def _log(self, outage: Outage, failure: Failure | None, traceback: str = "") -> None:
        for notice in outage.observe(failure, traceback):
            self._reporter.report(notice)

    def _status(self) -> Status:
        outcome = self._facts.outcome
        return Status(
            version=self._version,
            mode=outcome.mode if outcome else Mode.APPLYING,
            url=self.url,
            attempted=outcome.attempted if outcome else "",
            applied=outcome.applied if outcome else "",
            conditions=self._conditions,
            failed_steps=tuple(outcome.failed_steps) if outcome else (),
            pending=tuple(outcome.pending) if outcome else (),
            destinations=outcome.destinations if outcome else 0,
            remarks=tuple(outcome.remarks) if outcome else (),
            next_poll=self._next_poll,
            last_poll=self._last_poll,
            last_beacon=self._last_beacon,
        )


def _failure(outcome: object) -> Failure:
    if isinstance(outcome, Failure):
        return outcome
    message = f"a worker gave a {type(outcome).__name__}; this is a fault of nodeagent's own"
    return Failure(code=WorkerFailed.code, message=message, transient=True)
