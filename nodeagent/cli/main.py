"""``nodeagent VERB``: finds the verb, and turns what it raises into an exit code."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from nodeagent import __version__
from nodeagent.errors import NodeagentError, NotNow

_MODULES = {
    "run": "run",
    "apply": "apply",
    "adopt": "apply",
    "plan": "plan",
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
}
"""Where each verb is. Only the one that is asked for is imported: half of them need no git and no shell grammar, and
would be 0.3 s slower with them; ``status`` is asked on a thousand nodes at once."""

_NOT_NOW = 75  # EX_TEMPFAIL of sysexits.h
_INTERRUPTED = 128 + 2


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    try:
        try:
            arguments = _parser(argv).parse_args(argv)
            code: int = arguments.func(arguments)
        finally:
            sys.stdout.flush()  # here, where an error can still be told from success
    except NodeagentError as error:
        print(f"nodeagent: {error}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        return _NOT_NOW if isinstance(error, NotNow) else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough. What is still in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nodeagent", description="Keeps this node equal to the site's configuration repository."
    )
    parser.add_argument("--version", action="version", version=f"nodeagent {__version__}")
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    first = argv[0] if argv else ""
    modules = [_MODULES[first]] if first in _MODULES else dict.fromkeys(_MODULES.values())
    for module in modules if first != "--version" else ():
        importlib.import_module(f"nodeagent.cli.{module}").add_parser(subparsers)
    return parser
