"""``nodeagent init``: begin a configuration repository."""

import argparse
from pathlib import Path

from nodeagent.enroll.skeleton import Ci, write


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "init",
        help="begin a configuration repository",
        description="Write a small configuration repository: post.sh, files/, postscripts/, a README and what lints it "
        "at each push. Nothing is overwritten: DIR has to be empty (but for .git), or not there yet.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument(
        "--ci", choices=[ci.value for ci in Ci], default=Ci.GITHUB.value, help="what lints it; default: github"
    )
    parser.set_defaults(func=_init)


def _init(arguments: argparse.Namespace) -> int:
    for path in write(arguments.directory, Ci(arguments.ci)):
        print(path)  # noqa: T201 - the verb's output
    return 0
