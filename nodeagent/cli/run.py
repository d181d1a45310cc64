"""``nodeagent run``: the daemon, as ``nodeagent.service`` starts it."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from nodeagent import __version__, node, reconcile
from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.daemon.cycle import Plan
from nodeagent.daemon.loop import Daemon
from nodeagent.daemon.schedule import Schedule, place_of
from nodeagent.errors import InvalidConfiguration
from nodeagent.ledger import watch
from nodeagent.model.events import Notice, Reporter
from nodeagent.model.outcomes import ApplyOutcome, Mode, PollOutcome
from nodeagent.report import presence
from nodeagent.report.board import Board
from nodeagent.report.journal import JournalReporter, open_reporter
from nodeagent.source import confine, poll
from nodeagent.source.secrets import unlock
from nodeagent.workers.stop import Stop

_BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h: the unit is not started again for it
_OBSERVATION_HOLDS = 3600.0  # seconds, unless there is a reason to plan again
_DEBUG = 7  # syslog severity
_MARGIN = 60.0  # seconds that a worker has beyond the limits of its parts, before it counts as hung


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "run",
        help="be the daemon: poll, apply, repair, report",
        description="Keep this node equal to the repository until told to stop. Exit code 78: bad configuration.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    try:
        if os.geteuid() != 0:
            raise InvalidConfiguration("the daemon changes the node: run it as root")
        setup = FileSetup(args.config)
        plan = setup.load()
    except InvalidConfiguration as error:
        print(f"nodeagent: {error}", file=sys.stderr)  # noqa: T201 - there is no daemon yet that could report it
        return _BAD_CONFIGURATION
    runtime = setup.config.paths.runtime
    runtime.mkdir(mode=0o755, parents=True, exist_ok=True)
    with presence.claim(runtime):
        reporter = open_reporter()
        board = Board(
            runtime,
            reporter,
            version=__version__,
            url=plan.url,
            all_steps=plan.ready_needs_all,
            catch_up=reporter.catch_up if isinstance(reporter, JournalReporter) else None,
        )
        if lacking := confine.missing():
            text = f"this node's kernel cannot take away from the worker that fetches: {'; '.join(lacking)}"
            reporter.report(Notice(priority=_DEBUG, text=text))
        Daemon(plan, setup, board).run()
    unlock.forget(runtime)  # a daemon that was killed leaves it to the next one, or to the end of the tmpfs
    return 0


class FileSetup:
    """Plans from ``nodeagent.toml`` and its drop-ins."""

    config: Config

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._fingerprint()

    def load(self) -> Plan:
        self._seen = self._fingerprint()
        self.config = load(self._file)
        poll.warm(self.config)
        return plan_of(self.config)

    def changed(self) -> bool:
        poll.warm(self.config)  # authorities may have been renewed
        return self._fingerprint() != self._seen

    def _fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        drop_ins = self._file.with_name(self._file.name + ".d")
        found = []
        for path in [self._file, *sorted(drop_ins.glob("*.toml"))]:
            try:
                state = path.stat()
            except OSError:
                continue  # loading it says what is wrong with it
            found.append((str(path), state.st_ino, state.st_size, state.st_mtime_ns))
        return tuple(found)


def _observe(config: Config, commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
    from nodeagent import observing  # noqa: PLC0415 - as in reconcile: needed by this worker alone

    return observing.observe(config, commit, reporter, stop)


def plan_of(config: Config) -> Plan:
    """What a configuration means to the daemon."""

    def look(commit: str, reporter: Reporter, stop: Stop) -> PollOutcome:
        return reconcile.poll(config, commit, stop, reporter)

    def apply(commit: str, reporter: Reporter, stop: Stop) -> ApplyOutcome:
        if config.mode == "observe":
            return _observe(config, commit, reporter, stop)
        outcome = reconcile.apply_cycle(config, commit, stop, reporter)
        if outcome.mode is Mode.OBSERVING and outcome.failure is None:  # a first start that waits
            return _observe(config, commit, reporter, stop)
        if outcome.evaluation is None:
            return outcome
        # The steps were reported as they went by; a first start may have more of them than a frame holds.
        return replace(outcome, evaluation=replace(outcome.evaluation, steps=()))

    return Plan(
        url=config.source.url,
        ready_needs_all=config.ready.require == "all-steps",
        schedule=Schedule(interval=config.interval, jitter=config.jitter, place=place_of(node.hostname())),
        poll=look,
        poll_limit=config.source.fetch_limit,
        apply=apply,
        observation_holds=_OBSERVATION_HOLDS,
        apply_limit=config.evaluation_timeout + config.source.fetch_limit + _MARGIN,
        mark=lambda: watch.mark(config.paths.runtime),
    )
