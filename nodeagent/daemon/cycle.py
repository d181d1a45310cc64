"""The two workers of the daemon: when each is started, and what is still owed.

A cycle starts a poll worker, and an apply worker with the newest commit known as soon as the poll has ended, or, when
the poll takes long (it tries again by itself while the server is away), after a moment's patience: what is there is
enforced with or without news. There is never more than one worker of a kind, and at most one run of apply is owed:
whatever comes while one is at work is one more run, not many. None is started when the poll worker found the node
quiet, there is no new commit, and nobody else has applied anything since; while the node is only observed, for an hour
or so at most.
"""

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from nodeagent.daemon import hearsay
from nodeagent.daemon.hearsay import Hearsay
from nodeagent.daemon.schedule import Schedule
from nodeagent.errors import WorkerFailed
from nodeagent.model.events import Reporter
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome
from nodeagent.report.board import Board
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop
from nodeagent.workers.worker import Worker

PATIENCE = 30.0
"""Seconds that a poll may take before what is known is enforced without it; never more than half an interval."""
_NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the configuration says to the daemon. Limits in seconds."""

    url: str
    ready_needs_all: bool  # steps to have succeeded
    schedule: Schedule
    poll: Callable[[str, Reporter, Stop], PollOutcome]  # of the commit that is known; empty: none is
    poll_limit: float
    apply: Callable[[str, Reporter, Stop], ApplyOutcome]  # of the commit that is wanted; empty: none is known
    apply_limit: float
    observation_holds: float  # how long, while nothing changed, what an observer has planned needs no other look
    mark: Callable[[], object]  # another value whenever anybody has applied something


class Cycle:
    """Starts workers, hears them, tells the board. Nothing here blocks.

    Args:
        plan: what to do.
        board: who is told.
        selector: workers are registered with it; when one is ready, call :meth:`advance` with it.
    """

    def __init__(self, plan: Plan, board: Board, selector: selectors.BaseSelector) -> None:
        self.plan = plan
        """May be changed at any time; a worker that has begun goes on by the one before."""
        self._board = board
        self._selector = selector
        self._commit = ""  # the newest one known
        self._given = ""  # the one that the last apply worker was started with
        self._poller: Worker | None = None
        self._applier: Worker | None = None
        self._settled = False  # the last apply worker left nothing to be done
        self._mark: object = None  # the plan's, when it ended
        self._settled_until = _NEVER
        self._hearsay = Hearsay()  # what the poll worker says
        self._stale = False  # the plan changed under the poll worker: what it says does not count, another is wanted
        self._owed = False  # one run of apply
        self._patience_ends = _NEVER
        self._stopping = False

    @property
    def idle(self) -> bool:
        """Whether no worker is there."""
        return self._poller is None and self._applier is None

    @property
    def deadline(self) -> float:
        """When :meth:`expire` wants to be called, by the monotonic clock."""
        return min([self._patience_ends, *(w.deadline for w in self._workers())])

    def begin(self) -> None:
        """An interval has passed."""
        patience = 0.0 if self._poller else min(PATIENCE, self.plan.schedule.interval / 2)
        if not self._applier:
            self._owe(patience)
        if not self._poller:
            self._start_poll()

    def renew(self) -> None:
        """The plan is another one: poll by it now, and apply once more."""
        self._settled = False
        self._owe(min(PATIENCE, self.plan.schedule.interval / 2))
        if self._poller:
            self._stale = True
            self._poller.stop(worker.GRACE)
        else:
            self._start_poll()

    def advance(self, subject: Worker) -> bool:
        """Hear a worker that is ready.

        Returns:
            Whether it was an apply worker that has ended.
        """
        for event in subject.advance():
            if subject is not self._poller:
                self._board.hear(event)
            elif notice := self._hearsay.event(event):
                self._board.hear_poll(notice)
        if not subject.done:
            return False
        self._selector.unregister(subject)
        if subject is self._poller:
            self._poller = None
            self._poll_ended(subject)
            return False
        self._applier = None
        self._apply_ended(subject)
        return True

    def expire(self) -> None:
        """The deadline has come."""
        now = time.monotonic()
        for subject in self._workers():
            if now >= subject.deadline:
                subject.expire()
        if now >= self._patience_ends:
            self._start_apply()

    def stop(self, grace: float) -> None:
        """Begin nothing more; ask the workers to end, and kill them so many seconds later."""
        self._stopping = True
        self._patience_ends = _NEVER
        for subject in self._workers():
            subject.stop(grace)

    def _workers(self) -> list[Worker]:
        return [w for w in (self._poller, self._applier) if w is not None]

    def _owe(self, patience: float) -> None:
        self._owed = True
        self._patience_ends = time.monotonic() + patience

    def _start_poll(self) -> None:
        plan, commit = self.plan, self._commit
        self._stale = False
        self._hearsay = Hearsay()
        try:
            self._poller = worker.start(
                "poll", lambda r, s: plan.poll(commit, r, s), time_limit=plan.poll_limit, kinds=hearsay.KINDS
            )
        except WorkerFailed as error:
            self._board.polled(_failure(error))
        else:
            self._selector.register(self._poller, selectors.EVENT_READ)

    def _poll_ended(self, subject: Worker) -> None:
        if self._stopping:
            return
        if self._stale:
            self._start_poll()
            return
        outcome = hearsay.outcome(subject.outcome)
        self._board.polled(outcome, subject.traceback)
        if isinstance(outcome, PollOutcome) and outcome.commit:
            self._commit = outcome.commit
        if self._is_quiet(outcome):
            self._owed, self._patience_ends = False, _NEVER
        elif self._owed or self._commit != self._given:
            self._start_apply()

    def _apply_ended(self, subject: Worker) -> None:
        self._board.applied(subject.outcome, subject.traceback)
        self._settled_until = _NEVER
        match subject.outcome:
            case ApplyOutcome(mode=Mode.OBSERVING, failure=failure):
                self._settled = failure is None or not failure.transient
                self._settled_until = time.monotonic() + self.plan.observation_holds
            case ApplyOutcome(mode=Mode.APPLYING, failure=None, pending=pending, evaluation=evaluation):
                self._settled = not pending and (evaluation is None or evaluation.finished)
            case _:
                self._settled = False
        self._mark = self.plan.mark()
        if self._owed:
            self._start_apply()

    def _is_quiet(self, outcome: object) -> bool:
        """Whether there is nothing to apply: the node is as the last apply worker left it, and that was in order."""
        looked = self._hearsay.looked
        found = isinstance(outcome, PollOutcome) and looked is not None and looked.quiet
        settled = self._settled and time.monotonic() < self._settled_until
        return found and settled and self._commit == self._given and self.plan.mark() == self._mark

    def _start_apply(self) -> None:
        """Start it now, or, when one is at work, at its end."""
        self._patience_ends = _NEVER
        self._owed = self._applier is not None
        if self._owed or self._stopping:
            return
        plan, commit = self.plan, self._commit
        self._given = commit
        try:
            self._applier = worker.start("apply", lambda r, s: plan.apply(commit, r, s), time_limit=plan.apply_limit)
        except WorkerFailed as error:
            self._board.applied(_failure(error))
        else:
            self._selector.register(self._applier, selectors.EVENT_READ)


def _failure(error: WorkerFailed) -> Failure:
    return Failure(code=error.code, message=str(error), transient=True)
