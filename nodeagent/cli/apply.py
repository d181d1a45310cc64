"""``nodeagent apply``: evaluate now. ``nodeagent adopt``: take what is there as done."""

import argparse
import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from nodeagent import reconcile
from nodeagent.cli import password, subject
from nodeagent.config import DEFAULT_FILE, load
from nodeagent.errors import InvalidConfiguration, by_code
from nodeagent.model.evaluation import Change, Evaluation
from nodeagent.report.journal import open_reporter
from nodeagent.situation import Wishes
from nodeagent.workers.stop import on_signals

_CHANGED, _FAILED = 2, 4  # exit codes, added up


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    apply = subparsers.add_parser(
        "apply",
        help="evaluate post.sh now and bring the node to what it means",
        description="Evaluate post.sh now: of the configured repository, or of a directory as it stands.",
    )
    apply.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    apply.add_argument(
        "--repo", type=Path, metavar="DIR", help="a tree as it stands; needs no configuration and no git"
    )
    password.add_option(apply, password.FROM_THE_DAEMONS)
    apply.add_argument("--force", action="store_true", help="make every step due, as a new commit does")
    apply.add_argument("--retry", action="store_true", help="run the steps that are failed once more")
    apply.add_argument("--anytime", action="store_true", help="do not wait for jobs: run what is due beside them")
    apply.add_argument("--state", type=Path, metavar="DIR", help="with --repo: where the ledger is kept")
    apply.add_argument("args", nargs="*", metavar="-- ARGS", help="with --repo: the arguments of post.sh")
    _add_report_options(apply)
    apply.set_defaults(func=_apply)
    adopt = subparsers.add_parser(
        "adopt",
        help="take the steps of the configured repository as done, without running them",
        description="Take the node as it is: no step runs, files are made equal to the repository. "
        "This ends the waiting of a first start on a node that is in use.",
    )
    adopt.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    password.add_option(adopt, password.FROM_THE_DAEMONS)
    _add_report_options(adopt)
    adopt.set_defaults(func=_adopt)


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    parser.add_argument(
        "--detailed-exitcodes",
        action="store_true",
        help="exit with 0 unchanged, 2 changed, 4 failures, 6 both, 1 not attempted, 75 not now",
    )


def _apply(args: argparse.Namespace) -> int:
    _demand_root()
    wishes = Wishes(requested=True, force=args.force, retry=args.retry, anytime=args.anytime)
    if args.repo is None:
        subject.demand_no_args(args)
        return _configured(args, wishes)
    return _tell(_directory(args, wishes), args)


def _adopt(args: argparse.Namespace) -> int:
    _demand_root()
    return _configured(args, Wishes(adopt=True))


def _demand_root() -> None:
    if os.geteuid() != 0:
        raise InvalidConfiguration("this changes the node: run it as root")


def _directory(args: argparse.Namespace, wishes: Wishes) -> Evaluation:
    directory, settings = subject.directory(args, anytime=wishes.anytime)
    with on_signals() as stop:
        return reconcile.apply_directory(directory, settings, wishes, stop, open_reporter())


def _configured(args: argparse.Namespace, wishes: Wishes) -> int:
    config = load(args.config)
    reporter = open_reporter()
    with on_signals() as stop:
        with password.unlocked(config, args.password_file):
            commit = subject.newest(config, reporter)
        outcome = reconcile.apply_cycle(config, commit, stop, reporter, wishes)
    if outcome.failure is not None and outcome.evaluation is None:
        raise by_code(outcome.failure.code, outcome.failure.message)
    if outcome.evaluation is None:
        raise InvalidConfiguration("there is nothing to apply yet: no revision was ever fetched")
    return _tell(outcome.evaluation, args)


def _tell(done: Evaluation, args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps(_as_json(done), indent=2))  # noqa: T201 - the verb's output
    else:
        with contextlib.suppress(OSError):  # what was done counts, not who hears of it
            print(_summary(done), file=sys.stderr)  # noqa: T201 - the verb's output
    if args.detailed_exitcodes:
        return (_CHANGED if done.changed else 0) | (_FAILED if done.failed else 0)
    return 1 if done.failed else 0


def _summary(done: Evaluation) -> str:
    counts = ", ".join(f"{n} {change}" for change, n in done.counts.items()) or "nothing to do"
    return f"{done.revision}: {counts}; post.sh ended with status {done.exit_status}"


def _as_json(done: Evaluation) -> dict[str, object]:
    return {
        "schema": 1,
        "revision": str(done.revision),
        "exit_status": done.exit_status,
        "finished": done.finished,
        "scope": done.scope,
        "trigger": done.trigger,
        "counts": {str(change): done.counts.get(change, 0) for change in Change},
        "steps": [asdict(step) for step in done.steps],
    }
