"""A plan as text for a person, and as JSON for a program. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nodeagent.model.evaluation import Change, Phase
from nodeagent.model.events import Event, PlannedChange, PlannedStep, TreeChange
from nodeagent.model.outcomes import PlanOutcome

SCHEMA = 1
_CONTROL = {n: "?" for n in (*range(32), *range(127, 160)) if chr(n) not in "\t\n"}
"""What a file holds must not move a terminal's cursor."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What was reported of a plan, in order."""

    changes: list[PlannedChange] = field(default_factory=list)
    steps: list[PlannedStep] = field(default_factory=list)
    tree: list[TreeChange] = field(default_factory=list)

    def take(self, event: Event) -> bool:
        """Keep an event that is part of the plan; false for others."""
        match event:
            case PlannedChange():
                self.changes.append(event)
            case PlannedStep():
                self.steps.append(event)
            case TreeChange():
                self.tree.append(event)
            case _:
                return False
        return True

    @property
    def is_empty(self) -> bool:
        """Whether an apply would find nothing to do."""
        return all(change.change is Change.UNCHANGED for change in self.changes) and not any(
            step.would_run for step in self.steps
        )


def as_json(plan: Plan, outcome: PlanOutcome, *, diff: bool, rehearsed: bool) -> dict[str, Any]:
    """The layout that scripts may rely on."""
    shape: dict[str, Any] = {
        "schema": SCHEMA,
        "revision": outcome.revision,
        "exit_status": outcome.exit_status,
        "finished": outcome.finished,
        "incomplete": outcome.incomplete,
        "changes": [_change_as_json(change, diff=diff) for change in plan.changes],
        "steps": [_step_as_json(step, rehearsed=rehearsed) for step in plan.steps],
        "limits": list(outcome.limits),
    }
    if rehearsed:
        shape["tree"] = [{"path": c.path, "difference": c.difference, "detail": c.detail} for c in plan.tree]
    return shape


def _change_as_json(change: PlannedChange, *, diff: bool) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "file": change.file,
        "line": change.line,
        "phase": change.phase,
        "path": change.path,
        "change": change.change,
        "reason": change.reason,
        "detail": change.detail,
    }
    return shape | {"diff": change.diff, "hidden": change.hidden} if diff else shape


def _step_as_json(step: PlannedStep, *, rehearsed: bool) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "file": step.file,
        "line": step.line,
        "phase": Phase.EXECUTE,
        "command": step.command,
        "would_run": step.would_run,
        "reason": step.reason,
        "times": step.times,
    }
    return shape | {"exit_status": step.exit_status} if rehearsed else shape


def as_text(plan: Plan, outcome: PlanOutcome, *, rehearsed: bool) -> str:
    """One line for each destination that would change, each step, and each path of a rehearsed tree, in columns; a diff
    below its destination."""
    lines = [f"{outcome.revision or 'No revision'}: what an apply would do"]
    changes = [change for change in plan.changes if change.change is not Change.UNCHANGED]
    entries: list[PlannedChange | PlannedStep] = [*changes, *plan.steps]
    width = max((len(_place(entry)) for entry in entries), default=0)
    for change in changes:
        lines += _change_lines(change, width)
    lines += [_step_line(step, width, rehearsed=rehearsed) for step in plan.steps]
    if rehearsed:
        lines.append("The tree after the rehearsal:" if plan.tree else "The tree after the rehearsal is the same.")
        lines += [f"  {c.difference:<11}{c.path}{f' ({c.detail})' if c.detail else ''}" for c in plan.tree]
    lines += _end(plan, outcome, rehearsed=rehearsed)
    return "\n".join(lines).translate(_CONTROL)


def _place(entry: PlannedChange | PlannedStep) -> str:
    return f"{entry.file}:{entry.line}"


def _change_lines(change: PlannedChange, width: int) -> Iterator[str]:
    notes = [note for note in (change.reason, change.detail) if note]
    more = f" ({'; '.join(notes)})" if notes else ""
    yield f"  {change.change:<11}{_place(change):<{width}}  {change.phase:<9}{change.path}{more}"
    for line in change.diff.splitlines():
        yield f"    {line}"
    if change.hidden:
        yield f"    not shown: {change.hidden}"


def _step_line(step: PlannedStep, width: int, *, rehearsed: bool) -> str:
    word = "would run" if step.would_run else "would not"
    if rehearsed and step.would_run:
        word = "ran" if step.exit_status == 0 else "failed"
    times = f", {step.times} times" if step.times > 1 else ""
    return f"  {word:<11}{_place(step):<{width}}  {Phase.EXECUTE:<9}{step.command} ({step.reason}{times})"


def _end(plan: Plan, outcome: PlanOutcome, *, rehearsed: bool) -> Iterator[str]:
    changed = sum(change.change is not Change.UNCHANGED for change in plan.changes)
    run = sum(step.would_run for step in plan.steps)
    failed = sum(step.would_run and step.exit_status != 0 for step in plan.steps) if rehearsed else 0
    destinations = f"{_counted(changed, 'destination')} would change ({len(plan.changes) - changed} unchanged)"
    steps = f"{_counted(run, 'step')} would run ({f'{failed} failed, ' if failed else ''}{len(plan.steps) - run} not)"
    yield f"{destinations}, {steps}."
    if outcome.incomplete:
        yield f"Incomplete: {outcome.incomplete}."
    elif outcome.exit_status:
        yield f"post.sh would end with status {outcome.exit_status}: of what stands below its end, nothing is shown."
    elif not outcome.finished:
        yield "post.sh did not come to its end."
    for limit in outcome.limits:
        yield f"Note: {limit}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
