"""``nodeagent accept``: let the node follow a history that was rewritten, or went back."""

import argparse
import json
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from nodeagent import reconcile
from nodeagent.cli import password
from nodeagent.cli.wording import commit_as_json, commit_line, safe
from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.daemon import hearsay
from nodeagent.errors import InvalidConfiguration, LedgerUnavailable, NotNow, by_code
from nodeagent.ledger import accepted, database, statements, watch
from nodeagent.ledger.accepted import Acceptance
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Commit
from nodeagent.model.events import Notice
from nodeagent.model.outcomes import AcceptOutcome, Failure
from nodeagent.report.journal import open_reporter
from nodeagent.source.remote import refs

_NOTICE = 5  # syslog severity
_UNSET = 2**32 - 1  # of /proc/self/loginuid: no login


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "accept",
        help="follow a branch or tag that was rewritten or went back",
        description="A node refuses a branch or tag that no longer descends from the commit at which the node stands "
        "(Stalled, NonFastForward): it may have been rewritten by mistake, or by somebody who may not. This says that "
        "REV and what follows it are meant. The server must have REV in the history of what the node follows. The next "
        "poll then takes it (`systemctl reload nodeagent` polls at once); files and steps go by the rules for any new "
        "commit. It holds for the next revision only; who, why, from and to stay in the ledger and in the journal.",
        epilog="Exit code: 0 accepted, or the node follows already and nothing is to be accepted; 1 refused, or not "
        "meant; 75 another nodeagent is at work.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    password.add_option(parser, password.FROM_THE_DAEMONS)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the ledger and in the journal")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal to ask at")
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")
    parser.add_argument("revision", metavar="REV", help="a full commit id, a branch or a tag")
    parser.set_defaults(func=_accept)


def _accept(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise InvalidConfiguration("this decides what the node becomes: run it as root")
    if not args.reason.strip():
        raise InvalidConfiguration("--reason: say why, for those who look at it later")
    config = load(args.config)
    if refs.is_commit(config.source.ref):
        raise InvalidConfiguration("source.ref names a commit: the node goes there without being told to accept it")
    former, origin = _stands_at(config)
    reporter = open_reporter()
    with password.unlocked(config, args.password_file):
        found = hearsay.run(
            "fetch", lambda _reporter, _stop: reconcile.examine(config, args.revision), reporter,
            time_limit=config.source.fetch_limit,
        )  # fmt: skip
    if isinstance(found, Failure):
        raise by_code(found.code, found.message)
    assert isinstance(found, AcceptOutcome)
    new = Acceptance(former=former, commit=found.commit, reason=safe(args.reason.strip()), who=_who())
    if not found.needed:
        return _tell(args, new, found, origin, done=False)
    _show(sys.stderr if args.json else sys.stdout, new, found, origin)
    if not (args.yes or _agreed()):
        raise InvalidConfiguration("nothing was accepted: --yes says that it is meant")
    _keep(config, new)
    text = f"{new.who} accepted {new.commit} instead of {new.former}: {new.reason}"
    reporter.report(Notice(priority=_NOTICE, text=text))
    return _tell(args, new, found, origin, done=True)


def _stands_at(config: Config) -> tuple[str, Commit | None]:
    with database.readable(config.paths.state) as connection:
        state = Source(connection, config.source.url).state()
        if state is None:
            raise LedgerUnavailable(
                f"{config.source.url}: nothing of it was applied here yet: there is nothing to accept"
            )
        return state.commit, statements.commit_of(connection, state.commit)


def _keep(config: Config, new: Acceptance) -> None:
    with database.opened(config.paths.state, wait=False, warn=_warn) as connection:
        source = Source(connection, config.source.url)
        state = source.state()
        if state is None or state.commit != new.former:
            raise NotNow("the node took another revision meanwhile: look again")
        accepted.accept(connection, source.id, new)
    watch.remove(config.paths.runtime)  # or the daemon would find nothing changed, and not look


def _who() -> str:
    """Who is at work: whom the kernel knows to have logged in, else who called sudo, else the user of this process."""
    with suppress(OSError, ValueError, KeyError):
        login = int(Path("/proc/self/loginuid").read_text())
        if login != _UNSET:
            return pwd.getpwuid(login).pw_name
    if os.environ.get("SUDO_USER"):
        return safe(os.environ["SUDO_USER"])
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return f"user {os.getuid()}"


def _show(stream: TextIO, new: Acceptance, found: AcceptOutcome, origin: Commit | None) -> None:
    lines = [
        f"from {new.former}",
        f"     {commit_line(origin) if origin else 'made by nobody knows whom'}",
        f"to   {new.commit}",
        f"     {commit_line(found.origin)}",
    ]
    if found.head != found.commit:
        lines.append(f"and on to {found.head}, at which {safe(found.shown)} is")
    print("\n".join(lines), file=stream, flush=True)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Accept it? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - a question
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _tell(args: argparse.Namespace, new: Acceptance, found: AcceptOutcome, origin: Commit | None, *, done: bool) -> int:
    if args.json:
        result = {
            "schema": 1,
            "accepted": done,
            "from": {"commit": new.former, "origin": commit_as_json(origin)},
            "to": {"commit": new.commit, "origin": commit_as_json(found.origin)},
            "head": found.head,
            "reason": new.reason,
            "who": new.who,
        }
        print(json.dumps(result, indent=2))  # noqa: T201 - the verb's output
    elif done:
        print("Accepted; the next poll takes it.")  # noqa: T201 - the verb's output
    else:
        text = f"{safe(found.shown)} is at {found.head}, which descends from {new.former}"
        print(f"Nothing is to be accepted: {text}.")  # noqa: T201 - the verb's output
    return 0


def _warn(text: str) -> None:
    print(f"nodeagent: {text}", file=sys.stderr)  # noqa: T201 - the verb's voice
