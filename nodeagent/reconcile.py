"""WHAT: source → evaluate → apply → report, once.

:func:`poll` runs in the fetch worker, :func:`apply_cycle` in the apply worker (or in the command line's own process).
:func:`apply_directory` is the same without a source: a tree as it stands.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import ancestry, node
from nodeagent.config import Config
from nodeagent.drifted import Drifts
from nodeagent.errors import LedgerUnavailable, NodeagentError, TransientError
from nodeagent.evaluate import policy
from nodeagent.installing import Installing
from nodeagent.jobs.probe import Probe
from nodeagent.ledger import database, destinations, remarks, undo, watch
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Evaluation, Revision, Trigger
from nodeagent.model.events import Looked, Notice, Reporter
from nodeagent.model.outcomes import AcceptOutcome, ApplyOutcome, Failure, Mode, PollOutcome
from nodeagent.situation import Wishes, of_withdrawn, situation
from nodeagent.source import poll as source_poll
from nodeagent.source.checkout import tree
from nodeagent.workers.garbage import collected_seldom

# The grammar and the step engine are needed by the apply worker alone, when there is something to do. They are loaded
# there (30 ms), so that the daemon does not hold them and every fork of it is cheaper.
if TYPE_CHECKING:
    from nodeagent.evaluation import Settings

_WARNING = 4  # syslog severity


def poll(config: Config, current: str, stop: threading.Event, reporter: Reporter) -> PollOutcome:
    """Look at the node and at the remote, and fetch what is new; gives up root in this process."""
    note = watch.look(config.paths.runtime, node.boot_id())
    reporter.report(Looked(quiet=note is not None))
    standing = ancestry.standing(config, current, note or b"")
    return source_poll.poll(config, current, stop, reporter, _credentials(), standing=standing)


def fetch_named(config: Config, name: str) -> PollOutcome:
    """Fetch a branch, tag or commit to be looked at only; gives up root in this process.

    Raises:
        NodeagentError: it cannot be had.
    """
    return PollOutcome(commit=source_poll.fetch_named(config, name, _credentials()), moved=False)


def examine(config: Config, name: str) -> AcceptOutcome:
    """Look whether this node may accept a commit; gives up root in this process.

    Raises:
        NodeagentError: it cannot be had.
    """
    return source_poll.examine(config, name, ancestry.standing(config, ""), _credentials())


def _credentials() -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def apply_cycle(
    config: Config,
    commit: str,
    stop: threading.Event,
    reporter: Reporter,
    wishes: Wishes | None = None,
    *,
    busy: Callable[[], str] | None = None,
) -> ApplyOutcome:
    """Bring the node to the commit, or, without one, back to what it was given last.

    The commit is one that the fetch worker's store holds. A revision that is refused is in the outcome's ``failure``,
    and the one before is still enforced. ``busy`` stands in for the probe where the node's processes cannot be seen.
    """
    wishes = wishes or Wishes()
    busy = busy or Probe(config.jobs)
    try:
        with collected_seldom(), node.needs(), _ledger(config.paths.state, reporter) as connection:
            source = Source(connection, config.source.url)
            return _Cycle(config, source, connection, stop, reporter, busy=busy).run(commit, wishes)
    except NodeagentError as error:
        return ApplyOutcome(mode=Mode.APPLYING, attempted="", applied="", ready=False, failure=failure_of(error))


def standing(config: Config) -> ApplyOutcome:
    """How the node stands while it is only observed; nothing is locked, made or touched.

    It is as ready as the configuration demands: what a plan would run does not count, it is not of what was applied.
    """
    observing = ApplyOutcome(mode=Mode.OBSERVING, attempted="", applied="", ready=False)
    try:
        with database.readable(config.paths.state) as connection:
            state = Source(connection, config.source.url).state()
    except LedgerUnavailable:  # nothing was ever applied; or it is damaged, which the plan's own copy of it tells
        return observing
    if state is None:
        return observing
    whole = config.ready.require == "end" or not (state.failed or state.pending)
    ready = state.ready_boot == node.boot_id() and whole
    return replace(observing, attempted=state.attempted, applied=state.applied, ready=ready, failed_steps=state.failed)


def apply_directory(
    directory: Path, settings: "Settings", wishes: Wishes, stop: threading.Event, reporter: Reporter
) -> Evaluation:
    """Evaluate a tree as it stands. What other sources placed is neither repaired nor removed.

    Raises:
        PostScriptMissing: it has no post.sh.
        NotNow: another agent is at work.
        NodeUnusable: something that the agent needs for itself is full, read-only or broken.
    """
    from nodeagent.evaluation import Job, evaluate, restore  # noqa: PLC0415 - see above

    with collected_seldom(), node.needs(), _ledger(settings.state, reporter) as connection:
        restore(directory, settings.state)  # or what a killed agent left would be a new tree
        source = Source(connection, f"directory:{directory}")
        wishes = of_withdrawn(connection, source, wishes)
        revision = Revision(ref=str(directory), commit="", tree=tree.of_directory(directory))
        now = situation(source, revision, drifted=0, wishes=wishes, first_start="apply")
        due = policy.evaluation(now)
        assert isinstance(due, policy.Due), "an evaluation that is asked for takes place"
        job = Job(
            directory=directory,
            revision=revision,
            due=due,
            retry=wishes.retry,
            boot=now.boot,
            run_steps=wishes.run_steps,
        )
        done = evaluate(job, connection=connection, source=source, settings=settings, reporter=reporter, stop=stop)
        source.settle(tree.of_directory(directory))
        return done


class _Cycle:
    """One cycle of the configured source."""

    def __init__(
        self,
        config: Config,
        source: Source,
        connection: database.Connection,
        stop: threading.Event,
        reporter: Reporter,
        *,
        busy: Callable[[], str],
    ) -> None:
        self._config = config
        self._source = source
        self._connection = connection
        self._stop = stop
        self._reporter = reporter
        self._busy = busy
        self._drifts = Drifts(config, source, connection, reporter)
        self._installing = Installing(config, source, connection, reporter)

    def run(self, commit: str, wishes: Wishes) -> ApplyOutcome:
        config, state = self._config, self._source.state()
        if state is None and self._decide(Revision(ref="", commit="", tree=""), 0, wishes) is policy.NotDue.OBSERVE:
            return ApplyOutcome(mode=Mode.OBSERVING, attempted="", applied="", ready=False)
        wishes = of_withdrawn(self._connection, self._source, wishes)
        if state is not None and undo.is_withdrawn(self._connection, self._source.id) and wishes == Wishes():
            return ApplyOutcome(mode=Mode.OBSERVING, attempted=state.attempted, applied="", ready=False)
        failure: Failure | None = None
        revision = self._installing.enforced()
        if commit and commit != revision.commit:
            try:
                with node.needs(config.source.checkout):
                    revision = self._installing.install(commit, descendant=wishes.descendant)
            except NodeagentError as error:
                failure = failure_of(error)
        if not revision.commit:
            return self._outcome(None, destinations.NOTHING, failure)
        look = self._drifts.look()
        due = self._decide(revision, len(look.judged.repair), wishes)
        if isinstance(due, policy.NotDue):
            self._drifts.tell(look)
            self._drifts.keep_watch(look, settled=failure is None)
            return self._outcome(None, look.found, failure)
        watch.remove(config.paths.runtime)
        try:
            done = self._evaluate(revision, due, wishes, spared=look.spared(due, wishes))
        except NodeagentError as error:
            return self._outcome(None, look.found, failure_of(error))
        left = self._drifts.look()
        self._drifts.tell(left)
        self._drifts.note_repairs(look, left)
        self._drifts.keep_watch(left, settled=failure is None and done.finished)
        return self._outcome(done, look.found, failure)

    def _decide(self, revision: Revision, drifted: int, wishes: Wishes) -> policy.Due | policy.NotDue:
        state = self._source.state()
        idle = state is not None and state.deferred and not self._busy()
        now = situation(
            self._source,
            revision,
            drifted=drifted,
            wishes=wishes,
            first_start=self._config.first_start,
            damaged=self._source.is_rebuilt(),
        )
        return policy.evaluation(replace(now, idle=idle))

    def _evaluate(self, revision: Revision, due: policy.Due, wishes: Wishes, *, spared: frozenset[str]) -> Evaluation:
        from nodeagent.evaluation import Job, Settings, evaluate  # noqa: PLC0415 - see above

        config = self._config
        if due.trigger in _FRESH and not self._installing.is_fresh(revision.commit):
            self._installing.install(revision.commit, descendant=wishes.descendant)
        job = Job(
            directory=config.source.checkout,
            revision=revision,
            due=due,
            retry=wishes.retry,
            boot=node.boot_id(),
            run_steps=wishes.run_steps,
        )
        settings = Settings(
            args=[word.replace("${hostname}", node.hostname()) for word in config.args],
            environment=node.login_environment(config.environment_file),
            step_timeout=config.step_timeout,
            evaluation_timeout=config.evaluation_timeout,
            state=config.paths.state,
            runtime=config.paths.runtime,
            keep_bytes=config.ledger.keep_bytes,
            busy=str if wishes.anytime else self._busy,
            prune=config.prune,
            spared=spared,
        )
        done = evaluate(
            job,
            connection=self._connection,
            source=self._source,
            settings=settings,
            reporter=self._reporter,
            stop=self._stop,
        )
        self._source.end_rebuilding()
        self._installing.settle()
        return done

    def _outcome(self, done: Evaluation | None, found: destinations.Sweep, failure: Failure | None) -> ApplyOutcome:
        state = self._source.state()
        return ApplyOutcome(
            mode=Mode.APPLYING,
            attempted=state.attempted if state else "",
            applied=state.applied if state else "",
            ready=state is not None and state.ready_boot == node.boot_id(),
            evaluation=done,
            failed_steps=state.failed if state else (),
            pending=state.pending if state else (),
            destinations=destinations.count(self._connection, self._source.id) if state else 0,
            drifted=len(found.drifted),
            remarks=remarks.remarks(self._connection, self._source.id, time.time()) if state else (),
            failure=failure,
        )


# What starts from the tree as it was committed.
_FRESH = frozenset({Trigger.BOOT, Trigger.FORCE, Trigger.ADOPT, Trigger.LEDGER_DAMAGED})


@contextlib.contextmanager
def _ledger(directory: Path, reporter: Reporter) -> Iterator[database.Connection]:
    def warn(text: str) -> None:
        reporter.report(Notice(priority=_WARNING, text=text, path=str(directory)))

    with database.opened(directory, wait=False, warn=warn) as connection:
        yield connection


def failure_of(error: NodeagentError) -> Failure:
    return Failure(code=error.code, message=str(error), transient=isinstance(error, TransientError))
