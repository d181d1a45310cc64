"""The nouns that cross from one stage to another: frozen values, no I/O.

Paths are ``str`` as :func:`os.fsdecode` makes them (bytes that are no UTF-8 survive as surrogates).
"""

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, Self


class Phase(enum.StrEnum):
    """What kind of step a statement of post.sh is."""

    COPY = "COPY"
    APPEND = "APPEND"
    WRITE = "WRITE"
    MERGE = "MERGE"
    EXECUTE = "EXECUTE"


class Change(enum.StrEnum):
    """How one step, or one destination of it, came out."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    EXECUTED = "executed"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    FAILED = "failed"
    PRUNED = "pruned"


class Scope(enum.StrEnum):
    """Which EXECUTE steps an evaluation may run (design section 4, *due*)."""

    FULL = "full"  # every step is due
    REPAIR = "repair"  # native verbs repair; only steps that are still due run
    ADOPT = "adopt"  # native verbs repair; steps that are due are taken as done, none runs


class Trigger(enum.StrEnum):
    """Why an evaluation takes place."""

    NEW_TREE = "NewTree"
    BOOT = "Boot"
    FORCE = "Force"
    DRIFT = "Drift"
    UNFINISHED = "Unfinished"
    RETRY = "Retry"
    IDLE = "Idle"  # steps were deferred, and no job runs on the node any more
    REQUEST = "Request"
    ADOPT = "Adopt"
    LEDGER_DAMAGED = "LedgerDamaged"  # what was known of the node is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of the source, or a tree given by ``--repo`` (then ``commit`` is empty).

    ``tree`` identifies the content that post.sh sees: the git tree id, or a digest of the directory.
    """

    ref: str
    commit: str
    tree: str

    def __str__(self) -> str:
        return f"{self.ref}@sha1:{self.commit}" if self.commit else self.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What the comments ``# nodeagent: ...`` say of one step; without any, the default of each.

    ``on`` holds absolute paths. ``retry`` is how many times more it is tried after a failure, ``timeout`` is in seconds
    (None: the configured one). ``mode`` (permission bits), ``user`` and ``group`` (names or numbers; empty: not said)
    are what a COPY gives its files.
    """

    on: tuple[str, ...] = ()
    boot: bool = False
    always: bool = False
    anytime: bool = False
    retry: int = 0
    timeout: float | None = None
    mode: int | None = None
    user: str = ""
    group: str = ""
    prune: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is told of a commit: ``author`` as ``NAME <ADDRESS>``, ``authored`` in seconds since the epoch (0: unknown),
    ``subject`` its message's first line."""

    author: str
    authored: int
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement of post.sh that became a step.

    ``key`` names it across evaluations of one tree: a digest of file, text and ordinal among equal texts.
    ``line`` and ``last_line`` count from 1. ``text`` is the source text, one line, shortened for reports.
    ``asked``: its status decides something, so it always runs, and is only told.
    """

    number: int
    key: str
    file: str
    line: int
    phase: Phase
    text: str
    last_line: int = 0
    asked: bool = False
    annotation: Annotation = Annotation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an EXECUTE step came out when it last ran, or was taken as done.

    ``statement_status`` is what post.sh saw (256 more: it ended there), ``exit_status`` what the command itself
    returned (a RUN function hides it). ``evaluation`` and ``boot`` are those in which it ran; ``tries`` counts the runs
    since it became due, this one included; ``tick`` is the ledger's count of changes when it began.
    """

    succeeded: bool
    exit_status: int
    statement_status: int
    evaluation: int
    boot: str
    tries: int
    tick: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What a native verb did to one destination; ``reason`` explains a failure or a refusal."""

    path: str
    change: Change
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step as it came out. ``path`` for COPY, APPEND, WRITE, MERGE; ``command`` for EXECUTE."""

    file: str
    line: int
    phase: Phase
    change: Change
    path: str | None = None
    command: str | None = None
    exit_status: int | None = None
    reason: str = ""
    duration_usec: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of one evaluation.

    ``exit_status`` is post.sh's own (128+N after signal N). ``finished`` is false when post.sh did not come to its
    end (killed at a time limit, agent stopped). ``steps`` has a native step's destinations one by one where they
    changed or failed, and the others in one entry; ``counts`` has them all by :class:`Change` value.
    """

    number: int
    revision: Revision
    scope: Scope
    trigger: Trigger
    exit_status: int
    finished: bool
    counts: Mapping[str, int]
    steps: Sequence[Step]
    duration_usec: int

    @property
    def failed(self) -> bool:
        return not self.finished or self.counts.get(Change.FAILED, 0) > 0

    @property
    def changed(self) -> bool:
        return any(self.counts.get(c, 0) for c in (Change.CREATED, Change.UPDATED, Change.EXECUTED, Change.PRUNED))


# --- events: what a stage tells a Reporter ---------------------------------------------------------------------


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


# --- what the two workers give back to the daemon --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that crosses a process border; ``transient`` as in :mod:`nodeagent.errors`."""

    code: str
    message: str
    transient: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOutcome:
    """What the fetch worker found. ``commit`` is the newest one that the store holds whole, or empty.

    ``moved``: the remote's ref differed from the commit the worker was told, and was fetched.
    """

    commit: str
    moved: bool
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
    """What ``nodeagent status`` says; written whole at each change. ``next_poll`` in seconds since the epoch."""

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


# --- destinations: what ledger/ remembers and apply/ asks for ----------------------------------------------------


class Stat(NamedTuple):
    """The lstat of a destination; two equal ones mean that nobody touched it. Times in ns.

    A tuple, as a node may have tens of thousands of destinations, and each is looked at in every evaluation.
    """

    mode: int  # st_mode with the type bits
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a destination is or should be, apart from times.

    ``digest`` is the SHA-256 (hex) of a regular file's bytes, the target of a link, or empty for a directory.
    """

    kind: int  # stat.S_IFREG, S_IFLNK or S_IFDIR
    digest: str
    mode: int  # permission bits, 0..0o7777
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Text that stands in a destination because a step appended it (or was found there: ``adopted``)."""

    statement: str  # Statement.key
    text: bytes
    adopted: bool
    continues: bool = field(default=False, compare=False)  # the line that the block before it began


class Treatment(enum.Enum):
    """What becomes of a destination that steps edit behind its verbs."""

    LEAVE = enum.auto()  # it stays as they left it
    HOLD = enum.auto()  # it stays so until all of them may run: then it is placed anew
    ANEW = enum.auto()  # the verbs begin anew, and the steps edit it again
    DRESSED = enum.auto()  # a new text keeps the mode and owner that the steps gave the old one


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """``reason`` says what it waits for, or why it stays."""

    treatment: Treatment
    reason: str = ""


MERGED = "merge:"
"""Stands before the digest in a :class:`Content` that a MERGE wants: it is of the entries, not of a whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that a MERGE put into a user database. ``former``: what stood under its name before, perhaps several
    lines; None: nothing did."""

    statement: str  # Statement.key
    text: bytes = field(repr=False)  # of shadow it has a password's hash
    former: bytes | None = field(repr=False)


class Destinations(Protocol):
    """The ledger as the native verbs see it, for the evaluation under way. Paths are absolute and resolved."""

    def untouched(self, path: str, there: os.stat_result, *, read: bytes, mode: int, uid: int, gid: int) -> bool:
        """The first verb of the destination's chain read the file with this fingerprint the last time and wanted this
        mode and owner, and the destination's lstat is what the last evaluation left: there is nothing to do, nor to be
        read, and it is remembered that the verb has seen to it."""

    def settled(self, path: str, wanted: Content) -> bool:
        """The verb at this place of the destination's chain wanted the same last time, and the destination still is
        (by its stat, else by its digest) as the last evaluation left it: there is nothing to do."""

    def left(self, path: str, wanted: Content) -> Content | None:
        """How the last evaluation left the destination, if the verb wanted the same then as now, else None."""

    def left_absent(self, path: str) -> bool:
        """A later step of the last evaluation removed the destination, and is not run again in this one: the verb is
        not to put it back, whatever it wants."""

    def edited(self, path: str) -> bool:
        """A later step of the last evaluation edited what the verbs had written, and is not run again in this one: a
        verb that wants what it wanted then is to put back what was left."""

    def stands(self, path: str, wanted: Content) -> bool:
        """The destination is to stay as the last evaluation left it, whatever its verbs want (:class:`Treatment`)."""

    def copy_of(self, content: Content) -> Path | None:
        """Where the bytes of a file that was left so are kept; None: it was too large."""

    def only_appended(self, path: str) -> bool:
        """All verbs on the destination were APPENDs or MERGEs: the rest of it is somebody else's."""

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change, *, read: bytes = b"") -> None:
        """The verb has seen to the destination: remember it, its place in the chain, and what it wanted.

        ``read`` is the fingerprint of the file that it read, if that can be known again by it."""

    def staging(self, directory: str) -> None:
        """Something is about to be made in the directory under a temporary name; :meth:`keep` says so, too."""

    def keep(self, path: str) -> None:
        """The path is about to be changed, made or removed: keep a copy of what stands there, the first time."""

    def blocks(self, path: str) -> Sequence[Block]:
        """The blocks that earlier evaluations, and this one so far, put into the destination, in their order."""

    def appended(self, path: str, blocks: Sequence[Block]) -> None:
        """Remember these as the destination's blocks."""

    def entries(self, path: str) -> Sequence[Entry]:
        """The entries that MERGEs put into the destination, earlier and in this evaluation so far."""

    def merged(self, path: str, entries: Sequence[Entry]) -> None:
        """Remember these as the destination's entries."""
