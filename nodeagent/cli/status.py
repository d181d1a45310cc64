"""``nodeagent status``: what the daemon knows of this node."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from nodeagent.cli.wording import moment, safe
from nodeagent.config import DEFAULT_FILE, Config, Paths, load
from nodeagent.errors import InvalidConfiguration
from nodeagent.model.outcomes import Status
from nodeagent.report import presence, status


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "status",
        help="say what state this node is in",
        description="Say what the daemon knows: revision, conditions, failed and pending steps, next poll. The exit "
        "code is 0 whatever the state, and 1 when the daemon has not run since boot.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(func=_status)


def _status(args: argparse.Namespace) -> int:
    runtime = _runtime(args.config)
    found = status.read(runtime)
    running = presence.holder(runtime) is not None
    if found is None:
        state = (
            "has begun, and has nothing to say yet" if running else "has not run since boot: start nodeagent.service"
        )
        print(f"nodeagent: no status in {runtime}: the daemon {state}", file=sys.stderr)  # noqa: T201 - the verb's voice
        return 1
    if args.json:
        print(json.dumps({**status.to_json(found), "running": running}, indent=2))  # noqa: T201 - the verb's output
    else:
        print("\n".join(_lines(found, running=running)))  # noqa: T201 - the verb's output
    return 0


def _runtime(file: Path) -> Path:
    """Where the daemon writes. A configuration that cannot be read is no reason to say nothing."""
    try:
        return load(file).paths.runtime
    except InvalidConfiguration:
        paths = Config.model_fields["paths"].default
        assert isinstance(paths, Paths)
        return paths.runtime


def _lines(found: Status, *, running: bool) -> Iterator[str]:
    last_word = "" if running else " (the daemon is not running; this is its last word)"
    yield f"nodeagent {found.version}, {found.mode}{last_word}"
    yield f"  source     {safe(found.url)}"
    yield f"  applied    {found.applied or 'nothing yet'}"
    if found.attempted not in {found.applied, ""}:
        yield f"  attempted  {found.attempted}"
    yield f"  watching   {found.destinations} destinations"
    if found.last_poll is not None:
        yield f"  last poll  {moment(found.last_poll)}"
    if found.last_beacon is not None and found.last_beacon >= (found.last_poll or 0):
        yield f"  beacon     {moment(found.last_beacon)}: nothing is new"
    if running and found.next_poll is not None:
        yield f"  next poll  {moment(found.next_poll)}"
    yield "conditions"
    for condition in found.conditions:
        name = condition.type if condition.status else f"not {condition.type}"
        yield f"  {name}: {condition.reason}, since {moment(condition.since)}"
        yield f"    {safe(condition.message)}"
    for title, steps in (("failed", found.failed_steps), ("pending", found.pending), ("left so", found.remarks)):
        if steps:
            yield title
            yield from (f"  {safe(step)}" for step in steps)
