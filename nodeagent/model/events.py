"""What a stage tells a :class:`Reporter` while it works."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nodeagent.model.evaluation import Change, Phase, Scope, Step, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationStarted:
    number: int
    revision: str
    scope: Scope
    trigger: Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """An EXECUTE step begins (native verbs only report their end)."""

    number: int  # of the step within the evaluation, from 1
    file: str
    line: int
    command: str
    announce: bool  # False when post.sh's own function logs "Running ..." itself
    reason: str = ""  # why it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """One line that post.sh or a step of it wrote (stdout or stderr); ``number`` 0 outside of any step."""

    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged:
    """A ``logger`` statement of a RUN-like function: the text is post.sh's own.

    ``exit_status`` and ``duration_usec`` are those of the step's command, once it has ended.
    """

    number: int
    tag: str
    priority: int  # syslog severity, 0..7
    text: str
    exit_status: int | None = None
    duration_usec: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """``announce`` is false when post.sh's own function has logged how it ended, or when nothing is new."""

    number: int
    step: Step
    announce: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationEnded:
    number: int
    revision: str
    scope: Scope
    trigger: Trigger
    exit_status: int
    finished: bool
    counts: Mapping[str, int]
    duration_usec: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A line of the agent's own. ``code`` is an error's code or empty; ``priority`` a syslog severity."""

    priority: int
    text: str
    code: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the fetch worker saw of the node while it still was root, before it spoke to the network.

    ``quiet``: the node was settled, and every destination still looks as it was left, so that only a new commit is a
    reason to apply. Only the first one of a worker counts: what it says later may be a server's word.
    """

    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """What an apply would do to one destination, all verbs on it taken together; the place is the last one's.

    ``detail`` names mode and owner where they change; ``diff`` is a unified diff, ``hidden`` why there is none.
    """

    path: str
    change: Change
    file: str
    line: int
    phase: Phase
    reason: str = ""
    detail: str = ""
    diff: str = ""
    hidden: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """An EXECUTE step that an apply would reach, so many ``times`` with this result.

    ``exit_status`` is that of a rehearsal, else None.
    """

    file: str
    line: int
    command: str
    would_run: bool
    reason: str
    exit_status: int | None = None
    times: int = 1


class Difference(enum.StrEnum):
    """How a path of a rehearsed tree differs from the node's."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    ATTRIBUTES = "attributes"  # only mode or owner


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeChange:
    path: str
    difference: Difference
    detail: str = ""


Event = (
    EvaluationStarted
    | StepStarted
    | StepOutput
    | StepLogged
    | StepEnded
    | EvaluationEnded
    | Notice
    | Looked
    | PlannedChange
    | PlannedStep
    | TreeChange
)

EVENT_TYPES: tuple[type[Event], ...] = (
    EvaluationStarted,
    StepStarted,
    StepOutput,
    StepLogged,
    StepEnded,
    EvaluationEnded,
    Notice,
    Looked,
    PlannedChange,
    PlannedStep,
    TreeChange,
)


class Reporter(Protocol):
    """Takes events in the order in which things happened; never changes what it is told."""

    def report(self, event: Event) -> None: ...
