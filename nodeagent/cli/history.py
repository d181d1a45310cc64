"""``nodeagent history``: the evaluations of this node, and what was accepted in between, the newest first."""

import argparse
import heapq
import itertools
import json
from dataclasses import asdict

from nodeagent.cli import ledger_place
from nodeagent.cli.wording import SHORT, commit_as_json, moment, safe, short
from nodeagent.errors import InvalidConfiguration
from nodeagent.ledger import database
from nodeagent.ledger.accepted import PastAcceptance, acceptances
from nodeagent.ledger.history import PastEvaluation, evaluations

_DEFAULT = 20


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "history",
        help="list the evaluations of this node",
        description="List the evaluations of this node, the newest first: when, why, of which revision, and how each "
        "came out; in between, what was accepted, by whom and why. The last 1000 evaluations are kept.",
    )
    ledger_place.add_options(parser)
    parser.add_argument("-n", "--lines", type=int, default=_DEFAULT, metavar="N", help=f"default: {_DEFAULT}")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(func=_history)


def _history(args: argparse.Namespace) -> int:
    if args.lines < 1:
        raise InvalidConfiguration(f"-n {args.lines}: a number of evaluations is needed, from 1")
    with database.readable(ledger_place.state_directory(args)) as connection:
        found = evaluations(connection, args.lines)
        taken = acceptances(connection, args.lines)
    if args.json:
        said = {"schema": 1, "evaluations": [_as_json(e) for e in found], "acceptances": [asdict(a) for a in taken]}
        print(json.dumps(said, indent=2))  # noqa: T201 - the verb's output
        return 0
    name_source = len({e.source for e in found}) > 1
    lines = heapq.merge(
        ((e.began, _line(e, name_source=name_source)) for e in found),
        ((a.since, _acceptance_line(a, name_source=name_source)) for a in taken),
        key=lambda entry: entry[0],
        reverse=True,
    )
    for _, line in itertools.islice(lines, args.lines):
        print(line)  # noqa: T201 - the verb's output
    return 0


def _acceptance_line(past: PastAcceptance, *, name_source: bool) -> str:
    waits = ", and is waited for" if past.ended is None else ""
    text = f"{past.who} accepted {past.commit[:SHORT]} instead of {past.former[:SHORT]}{waits}: {past.reason}"
    return "  ".join([f"{'':>5}", moment(past.since), safe(text), *([f"({safe(past.source)})"] if name_source else [])])


def _line(past: PastEvaluation, *, name_source: bool) -> str:
    parts = [f"{past.number:>5}", moment(past.began), f"{past.trigger:<10}", f"{past.scope:<6}", short(past.revision)]
    if past.exit_status is None or past.counts is None or past.duration_usec is None:
        parts.append("under way, or cut short")
    else:
        how = "" if past.finished else "broken off, "
        parts.append(f"{how}status {past.exit_status} after {past.duration_usec / 1e6:.1f} s:")
        parts.append(", ".join(f"{n} {change}" for change, n in sorted(past.counts.items()) if n) or "nothing to do")
    if name_source:
        parts.append(f"({safe(past.source)})")
    return "  ".join(parts)


def _as_json(past: PastEvaluation) -> dict[str, object]:
    return {
        "number": past.number,
        "source": past.source,
        "revision": past.revision,
        "commit": commit_as_json(past.commit),
        "scope": past.scope,
        "reason": past.trigger,
        "began": round(past.began, 3),
        "duration_usec": past.duration_usec,
        "finished": past.finished,
        "exit_status": past.exit_status,
        "counts": past.counts,
    }
