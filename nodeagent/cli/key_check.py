"""``nodeagent key check``: everything that a node needs to follow the repository, tried without changing anything."""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nodeagent.cli import password
from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.daemon import hearsay
from nodeagent.enroll import node_files
from nodeagent.errors import FetchUserMissing, NodeagentError, PostScriptMissing
from nodeagent.lint.check import lint
from nodeagent.lint.finding import Severity
from nodeagent.lint.reading import ENTRY, read
from nodeagent.lint.syntax import asking
from nodeagent.model.events import Event, Reporter
from nodeagent.model.outcomes import Failure, PollOutcome
from nodeagent.source import check
from nodeagent.source.check import Finding
from nodeagent.source.confine import account
from nodeagent.source.remote.access import wants_key
from nodeagent.workers.stop import Stop

SCHEMA = 1
LINT_ERRORS = "LintErrors"  # code of the finding; no error of nodeagent's: a node applies the repository all the same


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "check",
        help="try password, servers, deploy key, branch and repository; changes nothing",
        description="Try what a node needs, one thing after the other: does the password open the key file, does the "
        "server answer with a pinned host key or a trusted certificate, does it let the node in, has it the repository "
        "and the branch (and what have the mirrors), is "
        "the commit signed where that is demanded, is post.sh there, and what does lint say of it. It stops at the "
        "first thing that is wrong and says what to do. Nothing is changed, here or on the server.",
        epilog="Exit code: 0 all is well, 1 something is not.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    where.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="try the nodeagent.toml, known_hosts and key.enc of this directory, before a node has them",
    )
    password.add_option(parser, password.FROM_THE_DAEMONS)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(func=_check)


def _check(arguments: argparse.Namespace) -> int:
    config = load(arguments.config) if arguments.source is None else node_files.local(arguments.source)
    found = _findings(config, arguments.password_file)
    if arguments.json:
        listed = [{**asdict(finding), "ok": finding.ok} for finding in found]
        _say(json.dumps({"schema": SCHEMA, "ok": all(f.ok for f in found), "findings": listed}, indent=2))
    else:
        for finding in found:
            _say(f"{'ok    ' if finding.ok else 'FAILED'}  {finding.check}: {finding.message}")
    return 0 if all(finding.ok for finding in found) else 1


def _findings(config: Config, password_file: str | None) -> Sequence[Finding]:
    credentials = Path(directory) if (directory := os.environ.get("CREDENTIALS_DIRECTORY")) else None
    key, told = b"", []
    if wants_key(config):
        given = password.given(password_file) if password_file else None
        key, opened = check.open_key(config, credentials, given)
        if not opened.ok:
            return [opened]
        told.append(opened)
    confined, more = _fetch_user(config)
    with tempfile.TemporaryDirectory(prefix="nodeagent-") as home:
        return [*told, *more, *_ask(config, key, credentials, Path(home), confined=confined)]


def _fetch_user(config: Config) -> tuple[bool, Sequence[Finding]]:
    """Can it be asked as the fetch user, as a node does? And what is to be said of that."""
    if os.geteuid() != 0:
        return False, ()
    try:
        account(config.source.user)
    except FetchUserMissing:
        message = f"{config.source.user} does not exist here: asked as root; a node needs it"
        return False, (Finding(check="fetch user", code="", message=message),)
    return True, ()


def _ask(config: Config, key: bytes, credentials: Path | None, home: Path, *, confined: bool) -> Sequence[Finding]:
    """Try each server in a forked child, then look at what the first one gave."""
    check.prepare(config, home, confined=confined)

    def answer(url: str) -> str | Failure:
        def job(reporter: Reporter, stop: Stop) -> PollOutcome:
            return PollOutcome(commit=check.fetch(config, url, key, credentials, home, confined=confined), moved=False)

        outcome = hearsay.run("check", job, _Silent(), time_limit=config.source.fetch_limit)
        if isinstance(outcome, PollOutcome):
            return outcome.commit
        assert isinstance(outcome, Failure)
        return outcome

    first = answer(config.source.url)
    found = [*check.findings(config, first), *(check.mirror(config, url, answer(url)) for url in config.source.mirrors)]
    return found if isinstance(first, Failure) else [*found, *_take(config, first, home, confined=confined)]


def _take(config: Config, commit: str, home: Path, *, confined: bool) -> Sequence[Finding]:
    """Look at what was fetched as a node does."""
    signed: list[Finding] = []

    def tell(text: str) -> None:
        signed.append(Finding(check="signature", code="", message=text))

    try:
        directory = check.check_out(config, commit, home, tell, confined=confined)
        return [*signed, *_read(directory)]
    except PostScriptMissing as error:
        message = f"{config.source.ref} has none at its top: push one; nodeagent init begins a repository"
        return [*signed, Finding(check=ENTRY, code=error.code, message=message)]
    except NodeagentError as error:
        name = "signature" if error.code in check.OF_SIGNATURES else ENTRY
        return [*signed, Finding(check=name, code=error.code, message=str(error))]


def _read(directory: Path) -> Sequence[Finding]:
    """Is post.sh there, and what does lint say?

    Raises:
        PostScriptMissing: it is not there.
    """
    tree = read(directory)
    found = lint(tree, asking(directory))
    there = Finding(check=ENTRY, code="", message="it is there")
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    counted = f"{len(errors)} errors, {len(found) - len(errors)} warnings"
    if not errors:
        more = ": nodeagent lint DIR names them" if found else ""
        return [there, Finding(check="lint", code="", message=counted + more)]
    first = errors[0]
    message = (
        f"{counted}; the first: {first.file}:{first.line}: {first.message}: {first.fix}; nodeagent lint DIR names all"
    )
    return [there, Finding(check="lint", code=LINT_ERRORS, message=message)]


class _Silent:
    """The check's job reports nothing on the way."""

    def report(self, event: Event) -> None:
        raise AssertionError(f"unexpected: {event}")


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the verb's output
