"""A daemon that only looks: it plans what it would apply, reports a plan that is news, and touches nothing.

A plan costs an evaluation. It is made again when there is a reason: a new commit, another configuration, SIGHUP, an
apply by somebody else, a destination that looks otherwise, or its age, for a plan also
depends on what nobody watches: the answers that post.sh gets when it asks the node.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodeagent import node, planning, reconcile
from nodeagent.config import Config
from nodeagent.errors import LedgerUnavailable, NodeagentError, StalledError
from nodeagent.ledger import database, destinations, watch
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Change
from nodeagent.model.events import Event, Notice, PlannedChange, Reporter
from nodeagent.model.outcomes import ApplyOutcome
from nodeagent.situation import Wishes
from nodeagent.workers.stop import Stop

_NOTICE = 5  # syslog severity
_OBSERVED = "observed"  # below the runtime directory: what the last plan came to


def observe(config: Config, commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
    """Plan what the daemon would apply, and report the plan when it is another one than the last of this boot.

    A plan that cannot be made is in the outcome's ``failure``. The watch list then says when to look again, unless
    trying again may help.
    """
    config.paths.runtime.mkdir(mode=0o755, parents=True, exist_ok=True)
    watch.remove(config.paths.runtime)
    known = reconcile.standing(config)
    ledger = config.paths.state / "ledger.db"
    before = destinations.lstat(str(ledger))  # an apply from now on is to be noticed
    free = config.model_copy(
        update={
            "evaluation_timeout": min(config.evaluation_timeout, planning.TIME_LIMIT),
            "first_start": "apply",  # what a first start waits for is what is to be seen
            # A job only puts off what would run: with it in the plan, each job's begin and end would be another plan.
            "jobs": config.jobs.model_copy(update={"probe": "none"}),
        }
    )
    changes: Sequence[PlannedChange] = ()
    try:
        heard = _Heard(reporter)
        seen = planning.look_at_cycle(free, commit, Wishes(run_steps=False), heard, stop, diff=False)
    except StalledError as error:
        outcome = replace(known, failure=reconcile.failure_of(error))
    except NodeagentError as error:
        return replace(known, failure=reconcile.failure_of(error))
    else:
        changes = seen.changes
        outcome = _report(seen, heard.held, known, config.paths.runtime, reporter)
    looked = {os.fsencode(path): destinations.lstat(path) or destinations.ABSENT for path in _watched(config, changes)}
    looked[os.fsencode(ledger)] = before or destinations.ABSENT
    watch.write(config.paths.runtime, node.boot_id(), looked.items())
    return outcome


@dataclass(slots=True)
class _Heard:
    """Passes on what is said while a plan is made, but for what is only worth saying of one that is news."""

    reporter: Reporter
    held: list[Notice] = field(default_factory=list)

    def report(self, event: Event) -> None:
        if isinstance(event, Notice) and event.priority > _NOTICE:
            self.held.append(event)
        else:
            self.reporter.report(event)


def _report(
    seen: planning.Seen, held: Sequence[Notice], known: ApplyOutcome, runtime: Path, reporter: Reporter
) -> ApplyOutcome:
    changed = [change for change in seen.changes if change.change is not Change.UNCHANGED]
    run = [step for step in seen.steps if step.would_run]
    planned = f"{len(changed)} destinations would change, {len(run)} steps would run"
    if seen.outcome.incomplete:
        planned += f", as far as can be seen: {seen.outcome.incomplete}"
    if _is_news(runtime, [seen.outcome.revision, *map(repr, (*changed, *run))]):
        for notice in held:
            reporter.report(notice)
        reporter.report(Notice(priority=_NOTICE, text=f"{seen.outcome.revision or 'nothing new'}: {planned}"))
        planning.tell(replace(seen, changes=changed, steps=run), reporter)
    return replace(
        known,
        planned=planned,
        pending=[f"{step.file}:{step.line} {step.command}" for step in run],
        drifted=len(changed),
    )


def _is_news(runtime: Path, parts: Sequence[str]) -> bool:
    """Whether this is another plan than the last one; remember it."""
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
    file = runtime / _OBSERVED
    with suppress(OSError):
        if file.read_text() == digest:
            return False
    file.write_text(digest)
    return True


def _watched(config: Config, changes: Iterable[PlannedChange]) -> set[str]:
    """The paths on which the plan depends, as far as they are known. A directory changes with whatever is put there by
    anybody: it is left out."""
    paths = {change.path for change in changes} | {str(path) for path in config.signatures.files.values()}
    with suppress(LedgerUnavailable), database.readable(config.paths.state) as connection:
        source = Source(connection, config.source.url)
        if source.state() is not None:
            paths.update(destinations.paths(connection, source.id))
    looks = {path: destinations.lstat(path) for path in paths}
    return {path for path, look in looks.items() if look is None or not stat.S_ISDIR(look.mode)}
