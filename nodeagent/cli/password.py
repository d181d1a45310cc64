"""The password of a key file, as the command line takes it: from a file, standard input or a prompt; never in argv."""

import argparse
import getpass
import os
import sys

from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.password import LONGEST, first_line


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


def new(source: str) -> bytes:
    """A password to encrypt with.

    Raises:
        PasswordUnavailable: there is none, two different ones were typed, or it is empty.
    """
    with given(source, twice=True) as found:
        if not found:
            raise PasswordUnavailable(f"{source}: its first line is empty: a key needs a password")
        return bytes(found.view)
