"""``nodeagent lint``: what a repository would do wrong on a node, without one."""

import argparse
import sys
from pathlib import Path

from nodeagent.lint import output
from nodeagent.lint.check import lint
from nodeagent.lint.finding import Severity
from nodeagent.lint.reading import read
from nodeagent.lint.syntax import asking

_FORMATS = {"text": output.text, "json": output.as_json, "github": output.github}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "lint",
        help="read a repository and name what would go wrong on a node",
        description="Read a repository and name what would go wrong on a node. Nothing of it is run; no root is "
        "needed. Exit code 1: there is an error, or with --strict a warning. A comment '# nodeagent: ignore=ID' on a "
        "line, or on the line above, silences a finding.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path(), metavar="DIR", help="default: this one")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="text", help="default: text")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings too")
    parser.set_defaults(func=_lint)


def _lint(arguments: argparse.Namespace) -> int:
    tree = read(arguments.directory)
    if tree.truncated:
        print("nodeagent: the repository is too large: only a part of it was read", file=sys.stderr)  # noqa: T201 - the verb's voice
    found = lint(tree, asking(arguments.directory))
    sys.stdout.write(_FORMATS[arguments.format](found))
    if arguments.strict:
        return 1 if found else 0
    return 1 if any(finding.severity is Severity.ERROR for finding in found) else 0
