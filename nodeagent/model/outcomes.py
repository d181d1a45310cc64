"""What the workers give back to the daemon, and the status that it makes of it."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from nodeagent.model.evaluation import Commit, Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that crosses a process border; ``transient`` as in :mod:`nodeagent.errors`."""

    code: str
    message: str
    transient: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOutcome:
    """What the fetch worker found. ``commit`` is the newest one that the store holds whole, or empty.

    ``moved``: the remote's ref differed from the commit the worker was told, and was fetched. ``by_beacon``: the server
    itself was not asked, since the beacon said that nothing is new.
    """

    commit: str
    moved: bool
    by_beacon: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptOutcome:
    """What was found of a commit that is to be accepted. Commits in hex.

    ``head`` is the commit of what the node follows, ``shown`` (``branch main``) says what that is; ``needed``: it does
    not descend from where the node stands.
    """

    commit: str
    head: str
    shown: str
    origin: Commit
    needed: bool


class Mode(enum.StrEnum):
    """What the apply worker found itself allowed to do."""

    APPLYING = "applying"
    OBSERVING = "observing"  # mode = "observe", or a first start on a node in use: nothing is touched, only planned


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOutcome:
    """What the apply worker did in one cycle.

    ``attempted`` and ``applied`` are printed revisions (empty: none yet). ``evaluation`` is None when there was
    nothing to do. ``ready``: post.sh came to its end once since boot. ``failed_steps`` and ``pending`` are one line
    each, ``file:line command``, of all steps that are failed or still due, not only of this cycle's.
    ``destinations`` counts what the ledger watches; ``drifted`` what the check of this cycle found. ``remarks``: what
    stands otherwise than post.sh says and is left so, one line each.
    ``planned`` is what an apply would do, in one line, when that was looked at; ``pending`` are then the steps that
    would run, and ``drifted`` counts the destinations that would change.
    """

    mode: Mode
    attempted: str
    applied: str
    ready: bool
    evaluation: Evaluation | None = None
    failed_steps: Sequence[str] = ()
    pending: Sequence[str] = ()
    destinations: int = 0
    drifted: int = 0
    remarks: Sequence[str] = ()
    planned: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """What a plan came to; its changes and steps were reported.

    ``exit_status`` is post.sh's (None: it would not run), ``finished`` whether it came to its end: else
    ``incomplete`` says where it hung. ``limits``: what inside was not as it is on the node.
    """

    revision: str
    exit_status: int | None
    finished: bool
    incomplete: str = ""
    limits: Sequence[str] = ()


class ConditionType(enum.StrEnum):
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    DEGRADED = "Degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition as Flux and kstatus print it. ``Ready`` is always there, the others only while true.

    ``since`` is seconds since the epoch of the last change of ``status`` or ``reason``.
    """

    type: ConditionType
    status: bool
    reason: str
    message: str
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What ``nodeagent status`` says; written whole at each change. Times in seconds since the epoch.

    ``last_poll``: the git server itself was asked, and could be followed. ``last_beacon``: the beacon said that nothing
    is new, and the server was not asked.
    """

    version: str
    mode: Mode
    url: str
    attempted: str
    applied: str
    conditions: Sequence[Condition] = field(default_factory=tuple)
    failed_steps: Sequence[str] = ()
    pending: Sequence[str] = ()
    destinations: int = 0
    remarks: Sequence[str] = ()
    next_poll: int | None = None
    last_poll: int | None = None
    last_beacon: int | None = None
