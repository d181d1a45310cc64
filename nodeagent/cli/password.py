"""The password of a key file, as the command line takes it: from a file, standard input or a prompt; never in argv."""

import argparse
import contextlib
import functools
import getpass
import os
import sys
from collections.abc import Iterator

from nodeagent.config import Config
from nodeagent.errors import PasswordUnavailable, by_code
from nodeagent.model.events import Reporter
from nodeagent.model.outcomes import Failure, PollOutcome
from nodeagent.report import presence
from nodeagent.report.journal import open_reporter
from nodeagent.source.secrets import unlock
from nodeagent.source.secrets.memory import Secret, keep_out_of_cores
from nodeagent.source.secrets.password import LONGEST, first_line
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop

_UNLOCK_LIMIT = 60.0  # seconds; ten million rounds take some
FROM_THE_DAEMONS = "default: where the daemon takes it from"


def add_option(parser: argparse.ArgumentParser, text: str = "", *, required: bool = False) -> None:
    """``--password-file F``; ``text`` says what happens without it."""
    explained = "its first line is the password; -: asked for at a terminal, else read from standard input"
    help_text = "; ".join(filter(None, (explained, text)))
    parser.add_argument("--password-file", metavar="F", required=required, help=help_text)


def given(source: str, *, twice: bool = False) -> Secret:
    """The first line of the file, or of standard input; ``twice``: what is typed is asked for again.

    Raises:
        PasswordUnavailable: there is none, or two different ones were typed.
    """
    if source != "-":
        try:
            with open(source, "rb", buffering=0) as stream:
                found = Secret.read(stream.fileno(), LONGEST + 1)
        except OSError as error:
            raise PasswordUnavailable(
                f"{source}: cannot be read: {error.strerror}: it must hold the password"
            ) from error
    elif sys.stdin.isatty():
        typed = getpass.getpass("Password: ")
        if twice and getpass.getpass("Once more: ") != typed:
            raise PasswordUnavailable("two different passwords were typed: nothing was done, try again")
        found = Secret(bytearray(os.fsencode(typed) + b"\n"))
    else:
        found = Secret.read_line(sys.stdin.fileno(), LONGEST + 1)
    if not first_line(found):
        raise PasswordUnavailable(
            f"{'standard input' if source == '-' else source}: is empty: it must hold the password"
        )
    return found


@contextlib.contextmanager
def unlocked(config: Config, source: str | None) -> Iterator[None]:
    """The deploy key can be had while the block runs: with the password that was named, else as the daemon has it.

    Afterwards it is gone, unless a daemon is there: that has it too, until it stops. The key is opened in a child,
    whose memory goes with it.

    Raises:
        NodeagentError: the password that was named cannot be had, or does not open the key file.
    """
    runtime = config.paths.runtime
    try:
        if source is not None:
            with given(source) as secret:
                job = functools.partial(_unlock, config, secret)
                found = worker.run("unlock", job, open_reporter(), time_limit=_UNLOCK_LIMIT)
            if isinstance(found, Failure):
                raise by_code(found.code, found.message)
        yield
    finally:
        if presence.holder(runtime) is None:
            unlock.forget(runtime)


def _unlock(config: Config, secret: Secret, _reporter: Reporter, _stop: Stop) -> PollOutcome:
    keep_out_of_cores()
    unlock.unlock_with(config, secret)
    return PollOutcome(commit="", moved=False)


def new(source: str) -> bytes:
    """A password to encrypt with.

    Raises:
        PasswordUnavailable: there is none, two different ones were typed, or it is empty.
    """
    with given(source, twice=True) as found:
        if not found:
            raise PasswordUnavailable(f"{source}: its first line is empty: a key needs a password")
        return bytes(found.view)
