"""What an apply would do, without doing it: reconcile's own cycle, inside a sandbox, with a copy of the ledger.

Nothing is imitated: the shell, the verbs and the ledger are those of an apply, and what they write is looked at and
thrown away. Everything here runs in a worker, which leaves the node's namespaces for good.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from nodeagent import evaluation, reconcile  # evaluation is loaded here, as inside it may not be found
from nodeagent.config import Config
from nodeagent.errors import WorkerFailed, by_code
from nodeagent.evaluate import loops
from nodeagent.jobs.probe import Probe
from nodeagent.ledger import copy
from nodeagent.model.evaluation import Change, Evaluation, Phase, Step
from nodeagent.model.events import (
    Event,
    Notice,
    PlannedChange,
    PlannedStep,
    Reporter,
    StepEnded,
    StepOutput,
    TreeChange,
)
from nodeagent.model.outcomes import ApplyOutcome, Mode, PlanOutcome
from nodeagent.program import ENTRY
from nodeagent.sandbox import difference, enclosure
from nodeagent.sandbox.root import Root
from nodeagent.situation import Wishes
from nodeagent.workers.stop import Stop

_MARGIN = 30.0  # seconds for what stands around an evaluation
TIME_LIMIT = 60.0
"""Seconds for a plan that runs no step: only a loop that waits for one takes so long."""
_INCOMPLETE = "PlanIncomplete"  # code of the notice that says where
_WARNING = 4  # syslog severity
_MOST_TREE_CHANGES = 10_000
_INSIDE = (
    "inside there is no D-Bus, no network, no journal, no device, and nothing in /run: what needs one of them fails"
    " here, and not on the node"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A plan, whole."""

    outcome: PlanOutcome
    changes: Sequence[PlannedChange]
    steps: Sequence[PlannedStep]
    tree: Sequence[TreeChange]


def of_directory(
    directory: Path, settings: evaluation.Settings, wishes: Wishes, reporter: Reporter, stop: Stop, *, diff: bool
) -> PlanOutcome:
    """Plan the apply of a tree as it stands (:func:`nodeagent.reconcile.apply_directory`), and report it.

    With ``wishes.run_steps`` it is rehearsed.

    Raises:
        NotNow: another agent is at work.
        NodeagentError: what the apply would raise; or a sandbox cannot be had.
    """
    asked = replace(settings, busy=_asked(settings.busy))

    def job(inside: Reporter, halt: Stop) -> ApplyOutcome:
        watch = _Watch(inside)
        done = reconcile.apply_directory(directory, asked, wishes, halt, watch)
        watch.judge(done, directory, wishes)
        return _without_steps(
            ApplyOutcome(mode=Mode.APPLYING, attempted=str(done.revision), applied="", ready=False, evaluation=done)
        )

    seen = _Sight(
        job,
        state=settings.state,
        runtime=settings.runtime,
        own=[],
        needed=[directory],
        time_limit=settings.evaluation_timeout + _MARGIN,
        wishes=wishes,
        diff=diff,
    ).see(reporter, stop)
    tell(seen, reporter)
    return seen.outcome


def of_cycle(config: Config, commit: str, wishes: Wishes, reporter: Reporter, stop: Stop, *, diff: bool) -> PlanOutcome:
    """Plan the apply of a commit that the store holds, or without one of what was applied last, and report it.

    Raises: as :func:`of_directory`.
    """
    seen = look_at_cycle(config, commit, wishes, reporter, stop, diff=diff)
    tell(seen, reporter)
    return seen.outcome


def look_at_cycle(config: Config, commit: str, wishes: Wishes, reporter: Reporter, stop: Stop, *, diff: bool) -> Seen:
    """As :func:`of_cycle`, and report only what the evaluation says meanwhile."""
    busy = _asked(Probe(config.jobs))

    def job(inside: Reporter, halt: Stop) -> ApplyOutcome:
        watch = _Watch(inside)
        outcome = reconcile.apply_cycle(config, commit, halt, watch, wishes, busy=busy)
        watch.judge(outcome.evaluation, config.source.checkout, wishes)
        return _without_steps(outcome)

    needed = [config.source.checkout, config.paths.cache]
    if config.environment_file is not None:
        needed.append(config.environment_file)
    needed += config.signatures.files.values()
    return _Sight(
        job,
        state=config.paths.state,
        runtime=config.paths.runtime,
        own=[config.paths.cache, config.source.checkout],
        needed=needed,
        time_limit=config.evaluation_timeout + config.source.fetch_limit + _MARGIN,
        wishes=wishes,
        diff=diff,
    ).see(reporter, stop)


def _asked(busy: Callable[[], str]) -> Callable[[], str]:
    """Ask now: inside, no process of the node can be seen, and every node would be free."""
    answer = busy()
    return lambda: answer


def _without_steps(outcome: ApplyOutcome) -> ApplyOutcome:
    """They were reported as they went by, and may be more than a frame holds."""
    if outcome.evaluation is None:
        return outcome
    return replace(outcome, evaluation=replace(outcome.evaluation, steps=()))


def tell(seen: Seen, reporter: Reporter) -> None:
    """Report a plan."""
    events: Iterator[Event] = (event for part in (seen.changes, seen.steps, seen.tree) for event in part)
    for event in events:
        reporter.report(event)


class _Sight:
    """One look at what an apply would do."""

    def __init__(
        self,
        job: Callable[[Reporter, Stop], ApplyOutcome],
        *,
        state: Path,
        runtime: Path,
        own: Collection[Path],
        needed: Sequence[Path],
        time_limit: float,
        wishes: Wishes,
        diff: bool,
    ) -> None:
        self._job = job
        self._state = state
        self._runtime = runtime
        self._own = [str(path.resolve()) for path in (state, runtime, *own)]
        self._needed = needed
        self._time_limit = time_limit
        self._rehearse = wishes.run_steps
        self._diff = diff
        self._taken: copy.Fingerprint = {}

    def see(self, reporter: Reporter, stop: Stop) -> Seen:
        witness = _Witness(reporter)
        enclosed = enclosure.run(
            self._job,
            prepare=self._prepare,
            needed=self._needed,
            reporter=witness,
            stop=stop,
            time_limit=self._time_limit,
        )
        copy.demand_current(self._state, self._taken)
        outcome = enclosed.outcome
        if not isinstance(outcome, ApplyOutcome):
            raise WorkerFailed(f"a plan came to a {type(outcome).__name__}; this is a fault of nodeagent's own")
        if outcome.failure is not None:
            raise by_code(outcome.failure.code, outcome.failure.message)
        tree = list(islice(difference.of_tree(enclosed.root, self._own), _MOST_TREE_CHANGES)) if self._rehearse else []
        changes = [self._with_difference(change, enclosed.root) for change in witness.changes.values()]
        plan = replace(_outcome(outcome, enclosed.root), incomplete=witness.incomplete)
        return Seen(outcome=plan, changes=changes, steps=list(witness.steps.values()), tree=tree)

    def _prepare(self, base: Path) -> dict[Path, Path]:
        self._taken = copy.take(self._state, base / "state")
        (base / "runtime").mkdir()
        return {self._state: base / "state", self._runtime: base / "runtime"}

    def _with_difference(self, change: PlannedChange, root: Root) -> PlannedChange:
        if change.change in (Change.UNCHANGED, Change.FAILED):
            return change
        shown = difference.of_destination(root, change.path)
        if not self._diff:
            return replace(change, detail=shown.detail)
        return replace(change, detail=shown.detail, diff=shown.diff, hidden=shown.hidden)


def _outcome(outcome: ApplyOutcome, root: Root) -> PlanOutcome:
    done: Evaluation | None = outcome.evaluation
    return PlanOutcome(
        revision=str(done.revision) if done else outcome.attempted,
        exit_status=done.exit_status if done else None,
        finished=done.finished if done else True,
        limits=(_INSIDE, *root.limits),
    )


@dataclass(slots=True)
class _Watch:
    """Inside: passes events on, and says where an evaluation hung that came to no end of its own."""

    reporter: Reporter
    file: str = ""
    line: int = 0

    def report(self, event: Event) -> None:
        if isinstance(event, StepEnded):
            self.file, self.line = event.step.file, event.step.line
        self.reporter.report(event)

    def judge(self, done: Evaluation | None, directory: Path, wishes: Wishes) -> None:
        if done is None or done.finished:
            return
        file = self.file or ENTRY
        try:
            loop = loops.around_or_behind((directory / file).read_bytes(), self.line)
        except OSError:  # post.sh has removed itself
            loop = None
        where = f"below line {self.line}" if loop is None else f"in line {loop}"
        why, advice = "", ""
        if not wishes.run_steps:
            why, advice = " for what a step would do that was not run", "; --rehearse runs the steps"
        seconds = f"{done.duration_usec / 1e6:.0f} s"
        text = f"{file} waits {where}{why}: ended after {seconds}; what stands below is not planned{advice}"
        self.reporter.report(Notice(priority=_WARNING, code=_INCOMPLETE, text=text))


@dataclass(slots=True)
class _Witness:
    """Hears the evaluation inside, and takes all verbs on one destination, and all turns of one step, together."""

    reporter: Reporter
    changes: dict[str, PlannedChange] = field(default_factory=dict)
    steps: dict[PlannedStep, PlannedStep] = field(default_factory=dict)
    incomplete: str = ""

    def report(self, event: Event) -> None:
        match event:
            case StepEnded(step=step) if step.phase is Phase.EXECUTE:
                planned = _planned(step)
                before = self.steps.get(planned)
                self.steps[planned] = planned if before is None else replace(before, times=before.times + 1)
            case Notice(code=code, text=text) if code == _INCOMPLETE:
                self.incomplete = text
            case StepEnded(step=step):
                self._take(step)
            case StepOutput() | Notice():
                self.reporter.report(event)
            case _:
                pass

    def _take(self, step: Step) -> None:
        path = step.path or ""
        before = self.changes.get(path)
        self.changes[path] = PlannedChange(
            path=path,
            change=step.change if before is None else _together(before.change, step.change),
            file=step.file,
            line=step.line,
            phase=step.phase,
            reason=step.reason,
        )


def _planned(step: Step) -> PlannedStep:
    would_run = step.change in (Change.EXECUTED, Change.FAILED)
    return PlannedStep(
        file=step.file,
        line=step.line,
        command=step.command or "",
        would_run=would_run,
        reason=step.reason or ("due" if would_run else ""),
        exit_status=step.exit_status,
    )


_STRENGTH = (Change.UNCHANGED, Change.UPDATED, Change.CREATED, Change.PRUNED, Change.FAILED)


def _together(first: Change, second: Change) -> Change:
    return max(first, second, key=lambda change: _STRENGTH.index(change) if change in _STRENGTH else 0)
