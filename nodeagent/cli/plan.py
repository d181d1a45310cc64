"""``nodeagent plan``: what ``nodeagent apply`` would do, without doing it."""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from nodeagent import planning
from nodeagent.cli import password, subject
from nodeagent.config import DEFAULT_FILE, load
from nodeagent.errors import InvalidConfiguration, by_code
from nodeagent.model.events import Event, Reporter
from nodeagent.model.outcomes import Failure, PlanOutcome
from nodeagent.report.console import ConsoleReporter
from nodeagent.report.plan import Plan, as_json, as_text
from nodeagent.situation import Wishes
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop
from nodeagent.workers.worker import Job

_CHANGES = 2  # exit code
_MARGIN = 120.0  # seconds that the worker has beyond its own limits, before it counts as hung


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    plan = subparsers.add_parser(
        "plan",
        help="show what apply would do, and change nothing",
        description="Evaluate post.sh in a sandbox over this node, and show what apply would change and run: of the "
        "newest commit of the configured repository, of --ref, or of the directory --repo. Nothing on the node is "
        "changed. Steps are only listed, with the reason why each would run or not; --rehearse runs them in the "
        "sandbox.",
        epilog="Exit code: 0 nothing would be done, 2 something would be done or the plan is incomplete, 1 error, "
        "75 another nodeagent is at work. What looks like a secret is not shown by --diff. Not everything is in the "
        "sandbox as on the node: docs/spec.md, Seeing before doing.",
    )
    plan.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    plan.add_argument("--repo", type=Path, metavar="DIR", help="a tree as it stands; needs no configuration and no git")
    plan.add_argument("--ref", metavar="REF", help="a branch, tag or full commit hash that is not applied")
    password.add_option(plan, password.FROM_THE_DAEMONS)
    plan.add_argument("--force", action="store_true", help="as apply --force would")
    plan.add_argument("--retry", action="store_true", help="as apply --retry would")
    plan.add_argument("--anytime", action="store_true", help="as apply --anytime would")
    plan.add_argument("--state", type=Path, metavar="DIR", help="with --repo: where the ledger is kept")
    plan.add_argument("--rehearse", action="store_true", help="run the steps too, in the sandbox, and show the tree")
    plan.add_argument("--diff", action="store_true", help="show how the content of each file would change")
    plan.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"of post.sh, which may wait for what a step would do; default: {planning.TIME_LIMIT:g}; to rehearse, "
        "as long as an apply may take",
    )
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.add_argument("args", nargs="*", metavar="-- ARGS", help="with --repo: the arguments of post.sh")
    plan.set_defaults(func=_plan)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0 is needed")
    return seconds


def _limit(args: argparse.Namespace, configured: float) -> float:
    """Of the evaluation, in seconds."""
    if args.timeout is not None:
        return float(args.timeout)
    return configured if args.rehearse else min(configured, planning.TIME_LIMIT)


def _plan(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise InvalidConfiguration("a plan is made in namespaces over the node's files: run it as root")
    if args.ref is not None and args.repo is not None:
        raise InvalidConfiguration("--ref names a commit of the configured repository: it does not go with --repo")
    wishes = Wishes(requested=True, force=args.force, retry=args.retry, anytime=args.anytime, run_steps=args.rehearse)
    listener = _Listener(ConsoleReporter(sys.stderr))
    job, limit = _directory(args, wishes) if args.repo is not None else _configured(args, wishes, listener)
    outcome = worker.run("plan", job, listener, time_limit=limit + _MARGIN)
    if isinstance(outcome, Failure):
        raise by_code(outcome.code, outcome.message)
    assert isinstance(outcome, PlanOutcome)
    if args.json:
        text = json.dumps(as_json(listener.plan, outcome, diff=args.diff, rehearsed=args.rehearse), indent=2)
    else:
        text = as_text(listener.plan, outcome, rehearsed=args.rehearse)
    sys.stdout.write(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") + "\n")
    return 0 if listener.plan.is_empty and not outcome.incomplete else _CHANGES


def _directory(args: argparse.Namespace, wishes: Wishes) -> tuple[Job, float]:
    directory, settings = subject.directory(args, anytime=wishes.anytime)
    settings = replace(settings, evaluation_timeout=_limit(args, settings.evaluation_timeout))

    def job(reporter: Reporter, stop: Stop) -> PlanOutcome:
        return planning.of_directory(directory, settings, wishes, reporter, stop, diff=args.diff)

    return job, settings.evaluation_timeout


def _configured(args: argparse.Namespace, wishes: Wishes, reporter: Reporter) -> tuple[Job, float]:
    subject.demand_no_args(args)
    config = load(args.config)
    config = config.model_copy(update={"evaluation_timeout": _limit(args, config.evaluation_timeout)})
    with password.unlocked(config, args.password_file):
        commit = subject.newest(config, reporter) if args.ref is None else subject.named(config, args.ref, reporter)
    if args.ref is not None:
        # It need not descend from what the node stands at: it is not to be followed.
        wishes = replace(wishes, descendant=False)
        config = config.model_copy(update={"source": config.source.model_copy(update={"ref": args.ref})})

    def job(reporter: Reporter, stop: Stop) -> PlanOutcome:
        return planning.of_cycle(config, commit, wishes, reporter, stop, diff=args.diff)

    return job, config.evaluation_timeout + config.source.fetch_limit


class _Listener:
    """Keeps the plan, and passes the rest on."""

    def __init__(self, reporter: Reporter) -> None:
        self.plan = Plan()
        self._reporter = reporter

    def report(self, event: Event) -> None:
        if not self.plan.take(event):
            self._reporter.report(event)
