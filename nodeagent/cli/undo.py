"""``nodeagent undo``: put back what stood there before nodeagent. ``nodeagent redo``: let nodeagent have it again."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nodeagent.cli import ledger_place
from nodeagent.cli.why import candidates
from nodeagent.cli.wording import safe
from nodeagent.config import DEFAULT_FILE, Paths, load
from nodeagent.errors import InvalidConfiguration, LedgerUnavailable
from nodeagent.ledger import database, undo, watch
from nodeagent.ledger.database import Connection
from nodeagent.ledger.sources import Source
from nodeagent.model.events import Notice
from nodeagent.report.journal import open_reporter
from nodeagent.undo import Undone, put_back

_NOTICE = 5  # syslog severity


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "undo",
        help="put back what stood there before nodeagent",
        description="Put back what stood at the paths, and below them, before nodeagent: what it replaced comes back, "
        "what it created goes, what it appended is cut out. It stays so until `nodeagent redo PATH`. Without a path: "
        "everything that the source placed; the daemon then touches nothing before `nodeagent apply`. What post.sh's "
        "own programs did is not undone.",
    )
    ledger_place.add_options(parser)
    parser.add_argument("--repo", type=Path, metavar="DIR", help="without a path: what `apply --repo DIR` placed")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--force", action="store_true", help="also where it was changed since: that is lost")
    parser.add_argument("--yes", action="store_true", help="do not ask before everything is undone")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.set_defaults(func=_undo)
    again = subparsers.add_parser(
        "redo",
        help="let nodeagent have paths again that were undone",
        description="End what `nodeagent undo PATH` began: the next cycle, or `nodeagent apply`, places them again. "
        "Without a path: all of them.",
    )
    ledger_place.add_options(again)
    again.add_argument("paths", nargs="*", metavar="PATH")
    again.set_defaults(func=_redo)


def _undo(args: argparse.Namespace) -> int:
    _demand_root()
    state = ledger_place.state_directory(args)
    if args.dry_run:
        with database.readable(state) as connection:
            return _work(connection, args, state)
    _demand_ledger(state)
    with database.opened(state, wait=False, warn=_warn) as connection:
        return _work(connection, args, state)


def _work(connection: Connection, args: argparse.Namespace, state: Path) -> int:
    if args.paths:
        todo = _known(connection, args.paths)
        done = _put_back(connection, todo, args, state, hold=True)
        return _tell(done, args)
    source = _source(connection, args)
    paths = undo.paths_of(connection, source.id)
    if not (args.yes or args.dry_run or _agreed(source.name, len(paths))):
        raise InvalidConfiguration("nothing was undone: --yes says that everything is meant")
    done = _put_back(connection, {source.id: paths}, args, state, hold=False)
    if not args.dry_run:
        undo.withdraw(connection, source.id)
    return _tell(done, args)


def _put_back(
    connection: Connection, todo: dict[int, list[str]], args: argparse.Namespace, state: Path, *, hold: bool
) -> list[Undone]:
    if not args.dry_run:
        watch.remove(_runtime(args))  # or the daemon would find nothing changed, and not look
    done: list[Undone] = []
    for source, paths in todo.items():
        done += put_back(
            connection,
            paths,
            kept=state / "kept",
            hold=source if hold else None,
            force=args.force,
            dry_run=args.dry_run,
        )
    return done


def _known(connection: Connection, asked: Sequence[str]) -> dict[int, list[str]]:
    """By source, what is known at the paths that were asked for and below them.

    Raises:
        InvalidConfiguration: nothing is.
    """
    found: dict[int, list[str]] = {}
    for name in asked:
        paths = next((paths for one in candidates(name) if (paths := undo.paths_at(connection, one))), None)
        if paths is None:
            raise InvalidConfiguration(f"{name}: is not nodeagent's: `nodeagent why {name}` says more")
        for path in paths:
            source = undo.source_of(connection, path)
            if path not in found.setdefault(source, []):
                found[source].append(path)
    return found


def _source(connection: Connection, args: argparse.Namespace) -> Source:
    """The source that is meant when no path is given."""
    if args.repo is not None:
        name = f"directory:{args.repo.resolve()}"
    elif args.config != DEFAULT_FILE or DEFAULT_FILE.exists():
        name = load(args.config).source.url
    else:
        raise InvalidConfiguration("name the paths to undo, or --repo DIR: no repository is configured")
    source = Source(connection, name)
    if source.state() is None:
        raise InvalidConfiguration(f"{name}: nothing of it was ever applied here")
    return source


def _agreed(name: str, count: int) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Undo all {count} destinations of {safe(name)}? [y/N] ", end="", flush=True)  # noqa: T201 - a question
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _tell(done: Sequence[Undone], args: argparse.Namespace) -> int:
    for one in done:
        print(f"{safe(one.path)}: {safe(one.text)}")  # noqa: T201 - the verb's output
    failed = sum(one.failed for one in done)
    if not args.dry_run:
        text = f"{len(done) - failed} paths were undone" + (f", {failed} were not" if failed else "")
        open_reporter().report(Notice(priority=_NOTICE, text=text))
    return 1 if failed else 0


def _redo(args: argparse.Namespace) -> int:
    _demand_root()
    state = ledger_place.state_directory(args)
    _demand_ledger(state)
    with database.opened(state, wait=False, warn=_warn) as connection:
        held = undo.undone(connection)
        wanted = [path for name in args.paths for path in candidates(name)] if args.paths else sorted(held)
        found = undo.redo(connection, wanted)
    if args.paths and not found:
        raise InvalidConfiguration(f"{args.paths[0]}: was not undone")
    watch.remove(_runtime(args))
    for path in sorted(found):
        print(f"{safe(path)}: is nodeagent's again")  # noqa: T201 - the verb's output
    return 0


def _demand_root() -> None:
    if os.geteuid() != 0:
        raise InvalidConfiguration("this changes the node: run it as root")


def _demand_ledger(state: Path) -> None:
    if not (state / "ledger.db").exists():
        raise LedgerUnavailable(f"{state}: there is no ledger: nodeagent has not applied anything here yet")


def _runtime(args: argparse.Namespace) -> Path:
    if args.config == DEFAULT_FILE and not DEFAULT_FILE.exists():
        return Paths().runtime
    return load(args.config).paths.runtime


def _warn(text: str) -> None:
    print(f"nodeagent: {text}", file=sys.stderr)  # noqa: T201 - the verb's voice
