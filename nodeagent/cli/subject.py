"""What ``apply`` and ``plan`` evaluate: a directory as it stands, or the newest commit of the configured repository."""

import argparse
import functools
from pathlib import Path

from nodeagent import node, reconcile
from nodeagent.config import Config, Jobs
from nodeagent.daemon import hearsay
from nodeagent.errors import InvalidConfiguration, by_code
from nodeagent.evaluation import Settings
from nodeagent.jobs.probe import Probe
from nodeagent.model.events import Notice, Reporter
from nodeagent.model.outcomes import Failure, PollOutcome
from nodeagent.workers.stop import Stop

_WARNING = 4  # syslog severity


def directory(args: argparse.Namespace, *, anytime: bool) -> tuple[Path, Settings]:
    """The directory of ``--repo``, and how its post.sh is run.

    Raises:
        InvalidConfiguration: it is no directory, or a password was named, which it does not need.
    """
    top = args.repo.resolve()
    if args.password_file is not None:
        raise InvalidConfiguration(
            "--password-file opens the key of the configured repository: it does not go with --repo"
        )
    if not top.is_dir():
        raise InvalidConfiguration(f"--repo {args.repo}: no such directory")
    paths = Config.model_fields["paths"].default
    return top, Settings(
        args=args.args,
        environment=node.inherited_environment(),
        step_timeout=Config.model_fields["step_timeout"].default,
        evaluation_timeout=Config.model_fields["evaluation_timeout"].default,
        state=args.state.resolve() if args.state else paths.state,
        runtime=paths.runtime,
        busy=str if anytime else Probe(Jobs()),
    )


def demand_no_args(args: argparse.Namespace) -> None:
    """Refuse arguments of post.sh for the configured repository, which has its own."""
    if args.args:
        raise InvalidConfiguration(
            "arguments of post.sh go with --repo; of the daemon they are args in the configuration"
        )


def newest(config: Config, reporter: Reporter) -> str:
    """The newest commit; empty, with a warning, when the server cannot be asked: then the last one is enforced."""
    job = functools.partial(_poll, config)
    found = hearsay.run("fetch", job, reporter, time_limit=config.source.fetch_limit)
    failure = found.failure if isinstance(found, PollOutcome) else found
    if isinstance(failure, Failure):
        if not failure.transient:
            raise by_code(failure.code, failure.message)
        reporter.report(Notice(priority=_WARNING, code=failure.code, text=failure.message))
    return found.commit if isinstance(found, PollOutcome) else ""


def named(config: Config, name: str, reporter: Reporter) -> str:
    """The commit of a branch or tag, or the commit of that hash, fetched and not followed.

    Raises:
        NodeagentError: it cannot be had.
    """
    found = hearsay.run(
        "fetch", lambda _reporter, _stop: reconcile.fetch_named(config, name), reporter,
        time_limit=config.source.fetch_limit,
    )  # fmt: skip
    if isinstance(found, Failure):
        raise by_code(found.code, found.message)
    assert isinstance(found, PollOutcome)
    return found.commit


def _poll(config: Config, reporter: Reporter, stop: Stop) -> PollOutcome:
    stop.set()  # one attempt: who waits at a terminal is told at once
    return reconcile.poll(config, "", stop, reporter)
