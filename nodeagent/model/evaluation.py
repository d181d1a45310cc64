"""One run of post.sh: its revision, its statements, what they change, and the steps that they are.

Paths are ``str`` as :func:`os.fsdecode` makes them (bytes that are no UTF-8 survive as surrogates).
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
