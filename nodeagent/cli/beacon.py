"""``nodeagent beacon``: what writes the file that ``source.beacon`` names, as one line for a hook or a crontab."""

import argparse
import shlex
from pathlib import PurePosixPath


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "beacon",
        help="print what writes the beacon: a line for a hook, or for a crontab",
        description="Print one line of shell for the hook post-receive of the repository on the git server, or, with "
        "--cron, for a crontab where one has no hooks. It writes the commit of the ref to FILE, in one piece; serve "
        "that by HTTP, or by a file system that the nodes mount, and name it in source.beacon.",
    )
    parser.add_argument("file", type=_absolute, metavar="FILE", help="where the web server finds it")
    parser.add_argument(
        "--ref", default="main", metavar="REF", help="the branch that nodes follow (main), or refs/tags/NAME"
    )
    parser.add_argument("--cron", default="", metavar="URL", help="ask the repository at URL once a minute")
    parser.set_defaults(func=_beacon)


def _absolute(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if not path.is_absolute() or not path.name or "\n" in text:
        raise argparse.ArgumentTypeError("the whole path is needed: a hook runs in the repository")
    return path


def _beacon(args: argparse.Namespace) -> int:
    ref = args.ref if args.ref.startswith("refs/") else f"refs/heads/{args.ref}"
    of_repository = shlex.join(["git", "rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}"])
    asking = _of_server(args.cron, ref) if args.cron else of_repository
    print(_line(asking, str(args.file), cron=bool(args.cron)))  # noqa: T201 - the verb's output
    return 0


def _of_server(url: str, ref: str) -> str:
    """The commit of an annotated tag comes last, after the tag's own line."""
    words = shlex.join(["git", "ls-remote", url, ref, f"{ref}^{{}}"])
    return f"{words} | tail -n 1 | cut -f 1"


def _line(asking: str, file: str, *, cron: bool) -> str:
    new, old = shlex.quote(f"{file}.new"), shlex.quote(file)
    line = f'c=$({asking}) && [ -n "$c" ] && echo "$c" >{new} && chmod 644 {new} && mv -f {new} {old}'
    # A percent sign is a crontab's end of line. A hook's failure would be told to who pushes, and is nothing to him.
    return f"* * * * * {line}".replace("%", r"\%") if cron else f"{line} || :"
