"""What state the node is in, as conditions: pure functions of what the workers last said.

The words are those of Flux and kstatus. ``Ready`` is always there; ``Reconciling`` (it goes on by itself), ``Stalled``
(a person must act) and ``Degraded`` (steps failed, the rest is in place) only while they are true.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nodeagent.model.outcomes import ApplyOutcome, Condition, ConditionType, Failure, Mode, Status

_NAMED = 5  # steps that the message of Degraded names


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known."""

    reload: Failure | None = None  # the configuration that could not be taken
    poll: Failure | None = None  # of the last poll that came to its end
    apply: Failure | None = None  # of the last apply cycle
    outcome: ApplyOutcome | None = None  # the last that an apply worker gave
    ready: bool = False  # post.sh has come to its end since boot, as well as it has to
    unfinished: bool = False  # the last evaluation did not come to its end
    progress: str = ""  # the revision that is being applied right now

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(f for f in (self.reload, self.poll, self.apply) if f is not None)


def conditions(facts: Facts, before: Sequence[Condition], now: int) -> tuple[Condition, ...]:
    """The conditions of this moment.

    Args:
        facts: what is known.
        before: the conditions until now: a status that stays keeps the time since when it has been so.
        now: seconds since the epoch.
    """
    since = {(c.type, c.status, c.reason): c.since for c in before}
    return tuple(
        replace(condition, since=since.get((condition.type, condition.status, condition.reason), now))
        for condition in _of(facts)
    )


def of_the_last_run(status: Status) -> ApplyOutcome:
    """What an earlier daemon of this boot knew of the node, until the first apply worker says it anew."""
    ready = any(c.type is ConditionType.READY and c.status for c in status.conditions)
    return ApplyOutcome(
        mode=status.mode,
        attempted=status.attempted,
        applied=status.applied,
        ready=ready,
        failed_steps=status.failed_steps,
        pending=status.pending,
        destinations=status.destinations,
        remarks=status.remarks,
    )


def _of(facts: Facts) -> Iterator[Condition]:
    yield _ready(facts)
    transient = [f for f in facts.failures if f.transient]
    stalled = [f for f in facts.failures if not f.transient]
    if facts.progress:
        yield _true(ConditionType.RECONCILING, "Progressing", f"{facts.progress} is being applied")
    elif transient:
        yield _true(ConditionType.RECONCILING, transient[0].code, _said(transient))
    if stalled:
        yield _true(ConditionType.STALLED, stalled[0].code, _said(stalled))
    if failed := facts.outcome.failed_steps if facts.outcome else ():
        more = f", and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        yield _true(ConditionType.DEGRADED, "StepsFailed", ", ".join(failed[:_NAMED]) + more)
    elif facts.unfinished:
        yield _true(ConditionType.DEGRADED, "EvaluationUnfinished", "post.sh did not come to its end")


def _ready(facts: Facts) -> Condition:
    outcome = facts.outcome
    if facts.ready:
        return _true(ConditionType.READY, "Succeeded", "post.sh has come to its end since boot")
    if outcome is not None and outcome.ready:
        reason, message = "StepsFailed", "post.sh has come to its end, but not all its steps (ready.require)"
    elif outcome is not None and outcome.mode is Mode.OBSERVING:
        reason, message = "AwaitingAdoption", "nothing is touched before `nodeagent adopt` or `nodeagent apply`"
        message += f": {outcome.planned}" if outcome.planned else ""
    else:
        reason, message = "NotYetApplied", "post.sh has not come to its end since boot"
    return Condition(type=ConditionType.READY, status=False, reason=reason, message=message, since=0)


def _true(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=True, reason=reason, message=message, since=0)


def _said(failures: Sequence[Failure]) -> str:
    return "; ".join(dict.fromkeys(f.message for f in failures))
