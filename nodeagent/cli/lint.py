"""``nodeagent lint``: what a repository would do wrong on a node, without one."""

import argparse
import os
import sys
from pathlib import Path

from nodeagent.lint import output
from nodeagent.lint.check import lint
from nodeagent.lint.finding import Severity
from nodeagent.lint.reading import read
from nodeagent.lint.syntax import asking


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "lint",
        help="read a repository and name what would go wrong on a node",
        description="Read a repository and name what would go wrong on a node. Nothing of it is run; no root is "
        "needed. Exit code 1: there is an error, or with --strict a warning. A comment '# nodeagent: ignore=ID' on a "
        "line, or on the line above, silences a finding.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path(), metavar="DIR", help="default: this one")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="default: text")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings too")
    parser.set_defaults(func=_lint)


def _lint(arguments: argparse.Namespace) -> int:
    tree = read(arguments.directory)
    if tree.truncated:
        print("nodeagent: the repository is too large: only a part of it was read", file=sys.stderr)  # noqa: T201 - the verb's voice
    found = lint(tree, asking(arguments.directory))
    match arguments.format:
        case "json":
            sys.stdout.write(output.as_json(found))
        case "github":
            sys.stdout.write(output.github(found, _below_workspace(arguments.directory)))
        case _:
            sys.stdout.write(output.text(found))
    if arguments.strict:
        return 1 if found else 0
    return 1 if any(finding.severity is Severity.ERROR for finding in found) else 0


def _below_workspace(directory: Path) -> str:
    """GitHub takes a path as of the checkout's top, where a workflow's steps begin unless they are told otherwise."""
    top = os.path.realpath(os.environ.get("GITHUB_WORKSPACE") or os.curdir)
    relative = os.path.relpath(os.path.realpath(directory), top)
    return "" if relative == os.curdir or relative.startswith(os.pardir) else relative
