"""When things run: is an evaluation due, and may this step run in it? Pure functions (design section 4, *due*)."""

import enum
from dataclasses import dataclass

from nodeagent.config import FirstStart
from nodeagent.model import Scope, Trigger

BOOT_WINDOW = 15 * 60.0
"""A node that has been up for less (seconds) is booting: nothing runs on it yet that could be disturbed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the ledger knows about the last evaluation of this source.

    ``tree`` and ``boot`` are those it began with. ``finished``: post.sh came to an end of its own. ``adopting``: it
    was to run nothing.
    """

    tree: str
    commit: str
    boot: str
    finished: bool
    adopting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """``uptime`` in seconds. ``tree`` leaves out the paths whose change is no new tree; ``commit`` does not."""

    past: Past | None
    tree: str
    commit: str
    boot: str
    uptime: float
    drifted: int
    first_start: FirstStart = "auto"
    requested: bool = False  # by ``nodeagent apply``
    force: bool = False
    retry: bool = False
    adopt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An evaluation is due."""

    scope: Scope
    trigger: Trigger


class NotDue(enum.Enum):
    NOTHING = "nothing to do"
    OBSERVE = "first start on a node in use"


def evaluation(now: Situation) -> Due | NotDue:  # noqa: PLR0911 - a table of cases reads best as one
    """Which evaluation is due, the strongest reason first."""
    past = now.past
    if now.adopt:
        return Due(scope=Scope.ADOPT, trigger=Trigger.ADOPT)
    if now.force:
        return Due(scope=Scope.FULL, trigger=Trigger.FORCE)
    if past is None:
        return _first(now)
    if past.boot != now.boot:
        return Due(scope=Scope.FULL, trigger=Trigger.BOOT)
    if past.tree != now.tree:
        return Due(scope=Scope.FULL, trigger=Trigger.NEW_TREE)
    if now.retry:
        return Due(scope=Scope.REPAIR, trigger=Trigger.RETRY)
    if not past.finished:
        return Due(scope=Scope.ADOPT if past.adopting else Scope.REPAIR, trigger=Trigger.UNFINISHED)
    if past.commit != now.commit:  # only documentation changed, but it may be copied somewhere
        return Due(scope=Scope.REPAIR, trigger=Trigger.NEW_TREE)
    if now.drifted:
        return Due(scope=Scope.REPAIR, trigger=Trigger.DRIFT)
    if now.requested:
        return Due(scope=Scope.REPAIR, trigger=Trigger.REQUEST)
    return NotDue.NOTHING


def _first(now: Situation) -> Due | NotDue:
    if now.requested or now.retry:
        return Due(scope=Scope.FULL, trigger=Trigger.REQUEST)
    booting = now.uptime < BOOT_WINDOW
    if now.first_start == "apply" or (now.first_start == "auto" and booting):
        return Due(scope=Scope.FULL, trigger=Trigger.BOOT)
    return NotDue.OBSERVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How a step came out since it was last made due. ``statement_status`` is what post.sh saw, ``exit_status`` what
    the command itself returned (a RUN function hides it)."""

    succeeded: bool
    exit_status: int
    statement_status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``run``, or skip and let the statement have ``status``. ``adopted``: take it as done from now on."""

    run: bool
    reason: str
    status: int = 0
    adopted: bool = False


def step(scope: Scope, attempt: Attempt | None, *, retry: bool) -> Verdict:
    """May an EXECUTE step that is reached run in an evaluation of this scope?

    A step that failed and is not tried again has its old status once more, so that ``set -e`` and ``||`` behind it
    go the way they went.
    """
    if attempt is None:
        if scope is Scope.ADOPT:
            return Verdict(run=False, reason="adopted: taken as done", adopted=True)
        return Verdict(run=True, reason="due")
    if attempt.succeeded:
        return Verdict(run=False, reason="done: not due again before a new tree, a boot or --force")
    if scope is Scope.ADOPT:
        return Verdict(run=False, reason="adopted: taken as done", adopted=True)
    if retry:
        return Verdict(run=True, reason="failed before, retried")
    return Verdict(
        run=False,
        reason=f"failed before with status {attempt.exit_status}: `nodeagent apply --retry` runs it again",
        status=attempt.statement_status,
    )
