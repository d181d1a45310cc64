"""``nodeagent VERB``: finds the verb, and turns what it raises into an exit code."""

import argparse
import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from nodeagent import __version__
from nodeagent.errors import NodeagentError, NotNow

_MODULES = {
    "run": "run",
    "apply": "apply",
    "adopt": "apply",
    "plan": "plan",
    "accept": "accept",
    "status": "status",
    "history": "history",
    "why": "why",
    "undo": "undo",
    "redo": "undo",
    "ready": "ready",
    "check-config": "check_config",
    "key": "key",
    "lint": "lint",
    "init": "init",
    "enroll": "enroll",
    "beacon": "beacon",
}
"""Where each verb is. Only the one that is asked for is imported: half of them need no git and no shell grammar, and
would be 0.3 s slower with them; ``status`` is asked on a thousand nodes at once."""

_SECRETIVE = frozenset({"key", "enroll"})
"""Verbs whose process holds passwords and keys for all its life, and starts nothing that is to make a core."""

_NOT_NOW = 75  # EX_TEMPFAIL of sysexits.h
_INTERRUPTED = 128 + 2
_NOT_WRITTEN = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process."""
    _fill_standard_streams()
    words = sys.argv[1:] if argv is None else argv
    if _SECRETIVE.intersection(words[:1]):
        from nodeagent.source.secrets.memory import keep_out_of_cores  # noqa: PLC0415 - as above

        keep_out_of_cores()
    sys.exit(call(words))


def call(argv: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    try:
        try:
            arguments = parser(argv).parse_args(argv)
            code: int = arguments.func(arguments)
        finally:
            sys.stdout.flush()  # here, where an error can still be told from success
    except NodeagentError as error:
        _say(str(error))
        code = _NOT_NOW if isinstance(error, NotNow) else 1
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except OSError as error:
        written = error.filename is None and error.errno in _NOT_WRITTEN  # of more than a stream's buffer holds
        if not (_refuses(sys.stdout) or written):
            raise
        if error.errno != errno.EPIPE:  # else whoever read has read enough
            _say(f"standard output: {error.strerror}: send it to where it can be written")
        code = 1
    _refuses(sys.stderr)
    return code


def _fill_standard_streams() -> None:
    """A caller that closed one would get into its place the first file that is opened, with what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - for good


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody hears it; the exit code says it too
        print(f"nodeagent: {text}", file=sys.stderr)  # noqa: T201 - the command line's own voice


def _refuses(stream: TextIO) -> bool:
    """Whether what still waits in a stream cannot be written; Python would try it again at exit, and end with 120."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False


def parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """What reads that command line: with the verb that it names, or with all."""
    made = argparse.ArgumentParser(
        prog="nodeagent", description="Keeps this node equal to the site's configuration repository."
    )
    made.add_argument("--version", action="version", version=f"nodeagent {__version__}")
    subparsers = made.add_subparsers(metavar="VERB", required=True)
    first = argv[0] if argv else ""
    modules = [_MODULES[first]] if first in _MODULES else dict.fromkeys(_MODULES.values())
    for module in modules if first != "--version" else ():
        importlib.import_module(f"nodeagent.cli.{module}").add_parser(subparsers)
    return made
