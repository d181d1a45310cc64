"""``nodeagent enroll xcat``: the postbootscript, and the osimage's definition with it."""

import argparse
import sys
from pathlib import Path

from nodeagent.cli import password
from nodeagent.enroll import inventory, stanza, store, xcat
from nodeagent.enroll.placing import place
from nodeagent.enroll.store import Store
from nodeagent.errors import InvalidConfiguration

_POSTSCRIPTS = Path("/install/postscripts")
_CUSTOM = Path("/install/custom/nodeagent")
_TIMEOUT = 900.0  # seconds


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "xcat",
        help="write the postbootscript, and print the osimage's definition with it",
        description="On xCAT's management node: write the postbootscript nodeagent-boot, which starts nodeagent on a "
        "node and tells xCAT honestly whether it is configured, and nodeagent.postinstall, which puts package and "
        "configuration into the image; print the definition of the osimage with it, for `mkdef -z`. What else is to "
        "be done is said on standard error.",
        epilog="An osimage that is there: lsdef -t osimage -l -z NAME | nodeagent enroll xcat --stanza - | mkdef -z -f",
    )
    image = parser.add_mutually_exclusive_group(required=True)
    image.add_argument(
        "--osimage", default="", metavar="NAME", help="print a new definition; NAME: OSVERS-ARCH-netboot-PROFILE"
    )
    image.add_argument(
        "--stanza",
        metavar="F",
        help="print this stanza (-: standard input) with postbootscripts extended in each osimage; all else is kept",
    )
    parser.add_argument("--only", default="", metavar="NAME", help="with --stanza: extend this osimage alone")
    parser.add_argument(
        "--format",
        choices=("stanza", "yaml"),
        default="stanza",
        help="yaml: for xcat-inventory import; default: stanza",
    )
    parser.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="SCRIPT",
        help="the postbootscript whose place nodeagent-boot takes (git-config-execute.sh); may be given several times",
    )
    parser.add_argument(
        "--secret",
        choices=[kept.value for kept in Store],
        help="where the password is kept; its commands or manifest are printed, and it comes to the nodes by xCAT's "
        "syncfiles, not in the definition. argument: in the definition, as the guide has it; takes --password-file. "
        "Default: file, or argument with --password-file",
    )
    password.add_option(parser, "only for --secret argument")
    parser.add_argument(
        "--postscripts",
        type=Path,
        default=_POSTSCRIPTS,
        metavar="DIR",
        help=f"gets nodeagent-boot; default: {_POSTSCRIPTS}",
    )
    parser.add_argument(
        "--custom", type=Path, default=_CUSTOM, metavar="DIR", help=f"gets the other files; default: {_CUSTOM}"
    )
    add_timeout(parser, "then xCAT's status is failed")
    parser.set_defaults(func=_xcat)


def add_timeout(parser: argparse.ArgumentParser, text: str) -> None:
    """``--timeout S``; ``text`` says what becomes of a node that took longer."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT,
        metavar="S",
        help=f"seconds that a node may take to be configured, {text}; default: {_TIMEOUT:g}",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("a number of seconds above 0 is needed")
    return seconds


def _xcat(arguments: argparse.Namespace) -> int:
    if arguments.stanza == arguments.password_file == "-":
        raise InvalidConfiguration("standard input cannot be both: name a file for the stanza or for the password")
    kept = Store(arguments.secret or ("argument" if arguments.password_file else "file"))
    secret = _secret(kept, arguments.password_file)
    instructions = store.instructions(kept)
    synclist = arguments.custom / xcat.SYNCLIST if instructions.password_at else None
    entries = xcat.entries(password=secret, synclist=synclist, instead=frozenset(arguments.replace))
    if arguments.stanza is None:
        text = xcat.definition(arguments.osimage, entries)
    else:
        text = stanza.with_entries(_read(arguments.stanza), entries, only=arguments.only)
    if arguments.format == "yaml":
        text = inventory.dump(stanza.read(text))
    _write(arguments, instructions)
    sys.stdout.write(text)
    return 0


def _secret(kept: Store, source: str | None) -> str:
    if (kept is Store.ARGUMENT) != (source is not None):
        raise InvalidConfiguration(
            "--password-file goes with --secret argument, and that with it: every other store keeps the password itself"
        )
    return password.new(source).decode(errors="replace") if source is not None else ""


def _read(source: str) -> str:
    try:
        if source == "-":
            return sys.stdin.buffer.read().decode()
        return Path(source).read_bytes().decode()
    except OSError as error:
        raise InvalidConfiguration(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(f"{source}: is no UTF-8 text: give it what `lsdef -z` prints") from error


def _write(arguments: argparse.Namespace, instructions: store.Instructions) -> None:
    """Write the files, and say what is left to do."""
    if not arguments.postscripts.is_dir():
        raise InvalidConfiguration(
            f"{arguments.postscripts}: no such directory: run this on xCAT's management node, or name one with "
            "--postscripts"
        )
    arguments.custom.mkdir(mode=0o755, parents=True, exist_ok=True)
    written = [
        place(arguments.postscripts, xcat.postbootscript(timeout=arguments.timeout)),
        place(arguments.custom, xcat.postinstall()),
    ]
    if instructions.password_at is not None:
        written.append(place(arguments.custom, xcat.synclist(instructions.password_at)))
    for path in written:
        _say(f"{path}: written")
    _say(
        f"Put nodeagent.toml, known_hosts, key.enc (and nodeagent-*.rpm, unless otherpkglist names it) into "
        f"{arguments.custom}, and this line into the image's .postinstall:"
    )
    _say(f'  sh {arguments.custom / xcat.POSTINSTALL} "$1"')
    _say(instructions.text.rstrip())
    if instructions.password_at is not None:
        _say(f"From there syncfiles, one of xCAT's default postscripts, brings it to each node's {xcat.ON_THE_NODE}.")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - standard output is the definition
