"""When things run: is an evaluation due, and may this step run in it? Pure functions (design section 4, *due*)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.config import FirstStart
from nodeagent.model.destinations import Treatment
from nodeagent.model.evaluation import Annotation, Attempt, Scope, Trigger

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
    """``uptime`` in seconds. ``tree`` leaves out the paths whose change is no new tree; ``commit`` does not.

    ``retries``: a step that failed may be tried again by its own annotation. ``idle``: steps were deferred, and no job
    runs here any more. ``damaged``: the ledger was, and knows of no evaluation since: the node was managed before.
    """

    past: Past | None
    tree: str
    commit: str
    boot: str
    uptime: float
    drifted: int
    retries: bool = False
    idle: bool = False
    damaged: bool = False
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
    if now.idle:
        return Due(scope=Scope.REPAIR, trigger=Trigger.IDLE)
    if now.retries:
        return Due(scope=Scope.REPAIR, trigger=Trigger.RETRY)
    if now.requested:
        return Due(scope=Scope.REPAIR, trigger=Trigger.REQUEST)
    return NotDue.NOTHING


def _first(now: Situation) -> Due | NotDue:
    booting = now.uptime < BOOT_WINDOW
    if now.damaged:  # no first start, whatever is asked for; but a boot is one
        if booting:
            return Due(scope=Scope.FULL, trigger=Trigger.BOOT)
        return Due(scope=Scope.ADOPT, trigger=Trigger.LEDGER_DAMAGED)
    if now.requested or now.retry:
        return Due(scope=Scope.FULL, trigger=Trigger.REQUEST)
    if now.first_start == "apply" or (now.first_start == "auto" and booting):
        return Due(scope=Scope.FULL, trigger=Trigger.BOOT)
    return NotDue.OBSERVE


class Action(enum.Enum):
    """What becomes of an EXECUTE step that is reached."""

    RUN = "run"
    SKIP = "skip"
    DEFER = "defer"  # due, but somebody's job runs here: it stays due
    ADOPT = "adopt"  # not run, and taken as done from now on


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decides about one EXECUTE step.

    ``attempt`` is its last one, None if it never came to an end of its own. ``full`` and ``forced`` are the numbers of
    the last evaluation that was full, and of the last one that was so by ``--force``; ``renewed_by`` is why the former
    was full. ``changed`` is a destination that its ``on=`` names and that changed since the attempt, ``anew`` one that
    the step edits and that is placed anew. ``busy`` says what runs on the node, for a step that must not run beside it.
    """

    scope: Scope
    boot: str
    annotation: Annotation
    attempt: Attempt | None = None
    full: int = 0
    forced: int = 0
    renewed_by: Trigger | None = None
    changed: str = ""
    anew: str = ""
    retry: bool = False
    busy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``status`` is what a statement that is not run has as ``$?``. ``again``: it is one more try of a failed step."""

    action: Action
    reason: str
    status: int = 0
    again: bool = False


def step(now: Facts) -> Verdict:
    """What becomes of an EXECUTE step that is reached.

    A step that failed and is not tried again has its old status once more, so that ``set -e`` and ``||`` behind it
    go the way they went.
    """
    past = now.attempt
    why = _due(now)
    again = _again(now) if not why else ""
    if now.scope is Scope.ADOPT and (why or past is None or not past.succeeded):
        return Verdict(action=Action.ADOPT, reason="adopted: taken as done")
    if (why or again) and now.busy and not now.annotation.anytime:
        return Verdict(action=Action.DEFER, reason=f"due ({why or again}), but {now.busy}")
    if why or again:
        return Verdict(action=Action.RUN, reason=f"due: {why or again}", again=not why)
    assert past is not None, "what has not run is due"
    if past.succeeded:
        return Verdict(action=Action.SKIP, reason=f"done: not due again before {_until(now.annotation)}")
    reason = f"failed before with status {past.exit_status}: `nodeagent apply --retry` runs it again"
    return Verdict(action=Action.SKIP, reason=reason, status=past.statement_status)


def _due(now: Facts) -> str:
    """Why the step is due, whatever became of its last attempt; empty: it is not."""
    past, says = now.attempt, now.annotation
    if past is None:
        return "it has not run yet"
    if past.evaluation < now.forced:
        return "--force"
    if now.anew:
        return f"{now.anew}, which it edits, is placed anew"
    if says.always:
        return "always"
    renewed = past.evaluation < now.full
    if not (says.boot or says.on):
        return _renewal(now.renewed_by) if renewed else ""
    if past.boot != now.boot:
        return "a boot"
    if now.changed and says.on:
        return f"{now.changed} changed"
    return "it failed before, and the evaluation is a full one" if renewed and not past.succeeded else ""


def _renewal(by: Trigger | None) -> str:
    match by:
        case Trigger.NEW_TREE:
            return "a new tree"
        case Trigger.BOOT:
            return "a boot"
        case _:
            return "a full evaluation"


def _again(now: Facts) -> str:
    """Why a step that failed is tried once more; empty: it is not."""
    past, most = now.attempt, now.annotation.retry
    if past is None or past.succeeded:
        return ""
    if now.retry:
        return "it failed before, and --retry asks for it"
    return f"it failed before, retry {past.tries} of {most}" if past.tries <= most else ""


def _until(says: Annotation) -> str:
    if says.on:
        return f"a change under {','.join(says.on)}, a boot or --force"
    return "a boot or --force" if says.boot else "a new tree, a boot or --force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """A step that edits a file behind the verb that places it.

    ``now`` is its verdict as things stand, ``anew`` the one that it has if the file is placed anew. ``named``: it does
    nothing but edit files, so that it may run again for this alone.
    """

    now: Verdict
    anew: Verdict
    named: bool


def edited_file(editors: Sequence[Editor], *, changed: bool, full: bool) -> Treatment:
    """What becomes of a file that steps edit behind its verb: it is never left between the one and the others.

    Args:
        editors: All of them.
        changed: The verb wants another text than the last time.
        full: The evaluation is a full one. In a repair a text is new because it is so each time: it waits for a program
            that only a full evaluation runs again; in a full one nothing waits for a step that is not due.
    """
    done = [editor for editor in editors if editor.now.action is Action.SKIP]
    if not changed and len(done) == len(editors):
        return Treatment.LEAVE
    if any(editor.now.action is Action.DEFER for editor in editors):
        return Treatment.HOLD
    if not (changed and full) and not all(editor.named for editor in done):
        return Treatment.LEAVE
    if any(editor.named and editor.anew.action is Action.DEFER for editor in done):
        return Treatment.HOLD
    return Treatment.ANEW
