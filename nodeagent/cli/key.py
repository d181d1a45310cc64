"""``nodeagent key``: make, encrypt, decrypt and try the deploy key."""

import argparse
import getpass
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import SecretBytes

from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.enroll.keys import KeyFiles, make_password
from nodeagent.errors import FetchUserMissing, KeyFileInvalid, PasswordUnavailable
from nodeagent.model import Event, Failure, PollOutcome, Reporter
from nodeagent.source import check, deploy_key
from nodeagent.source.confine import account
from nodeagent.source.password import LONGEST, first_line, read_password
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop

SCHEMA = 1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    key = subparsers.add_parser("key", help="make, encrypt, decrypt and try the deploy key")
    verbs = key.add_subparsers(metavar="VERB", required=True)

    generate = verbs.add_parser("generate", help="make a deploy key and its encrypted key file")
    generate.add_argument("directory", type=Path, metavar="DIR", help="gets key, key.pub and key.enc")
    _add_password(generate, "without it, a password is made and shown once")
    generate.add_argument("--comment", default="", help="of the public key; default: nodeagent@HOST")
    generate.set_defaults(func=_generate)

    for verb, what, function in (("encrypt", "a file", _encrypt), ("decrypt", "a private key", _decrypt)):
        parser = verbs.add_parser(verb, help=f"{verb} {what}, as openssl enc does; writes to standard output")
        parser.add_argument("file", type=Path, metavar="FILE")
        _add_password(parser, required=True)
        parser.set_defaults(func=function)

    tried = verbs.add_parser("check", help="try password, host key, deploy key and branch; changes nothing")
    tried.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    _add_password(tried, "default: where the daemon takes it from")
    tried.add_argument("--json", action="store_true", help="print the findings as JSON")
    tried.set_defaults(func=_check)


def _add_password(parser: argparse.ArgumentParser, text: str = "", *, required: bool = False) -> None:
    help_text = "; ".join(filter(None, ("its first line is the password; - reads standard input", text)))
    parser.add_argument("--password-file", metavar="F", required=required, help=help_text)


def _generate(arguments: argparse.Namespace) -> int:
    made = "" if arguments.password_file else make_password()
    password = made.encode() or _password(arguments.password_file).get_secret_value()
    if not password:
        raise PasswordUnavailable(f"{arguments.password_file}: its first line is empty: a key needs a password")
    private, public = deploy_key.generate(arguments.comment or f"nodeagent@{os.uname().nodename}")
    files = KeyFiles.below(arguments.directory)
    files.write(private=private, public=public, encrypted=deploy_key.encrypt(private, password))
    _say(f"{files.private}      the private key: keep it off the nodes, or delete it")
    _say(f"{files.public}  add this to the repository's deploy keys, to read only")
    _say(f"{files.encrypted}  this goes to the nodes, as source.key")
    if made:
        _say(f"password: {made}  (shown this once; the nodes get it as the credential nodeagent.password)")
    return 0


def _encrypt(arguments: argparse.Namespace) -> int:
    return _write(deploy_key.encrypt(_read(arguments.file), _password(arguments.password_file).get_secret_value()))


def _decrypt(arguments: argparse.Namespace) -> int:
    """What is no private key is not written: the format cannot tell a wrong password from noise, one in 256 times."""
    password = _password(arguments.password_file).get_secret_value()
    return _write(deploy_key.decrypt_private_key(_read(arguments.file), password))


def _check(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    found = _findings(config, arguments.password_file)
    if arguments.json:
        listed = [{**asdict(finding), "ok": finding.ok} for finding in found]
        _say(json.dumps({"schema": SCHEMA, "ok": all(f.ok for f in found), "findings": listed}, indent=2))
    else:
        for finding in found:
            _say(f"{'ok    ' if finding.ok else 'FAILED'}  {finding.check}: {finding.message}")
    return 0 if all(finding.ok for finding in found) else 1


def _findings(config: Config, password_file: str | None) -> Sequence[check.Finding]:
    if password_file:
        password = _password(password_file)
    else:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        password = read_password(config.password, Path(credentials) if credentials else None)
    key, opened = check.open_key(config, password)
    return [opened, *_ask(config, key)] if opened.ok else [opened]


def _ask(config: Config, key: bytes) -> Sequence[check.Finding]:
    """Try the server in a forked child, as the fetch user if that is possible."""
    confined = os.geteuid() == 0
    found = []
    if confined:
        try:
            account(config.source.user)
        except FetchUserMissing:
            message = f"{config.source.user} does not exist here: asked as root; a node needs it"
            found.append(check.Finding(check="fetch user", code="", message=message))
            confined = False
    with tempfile.TemporaryDirectory(prefix="nodeagent-") as directory:
        home = Path(directory)
        check.prepare(config, home)

        def job(reporter: Reporter, stop: Stop) -> PollOutcome:
            return PollOutcome(commit=check.ask(config, key, home, confined=confined), moved=False)

        outcome = worker.run("check", job, _Silent(), time_limit=config.source.fetch_limit)
    answer = outcome if isinstance(outcome, Failure) else str(getattr(outcome, "commit", ""))
    return [*found, *check.findings(config, answer)]


class _Silent:
    """The check's job reports nothing on the way."""

    def report(self, event: Event) -> None:
        raise AssertionError(f"unexpected: {event}")


def _password(source: str) -> SecretBytes:
    """Read the first line of the file, or of standard input."""
    if source != "-":
        try:
            with open(source, "rb") as stream:
                password = first_line(stream.read(LONGEST + 1))
        except OSError as error:
            raise PasswordUnavailable(f"{source}: cannot be read: {error.strerror}") from error
    elif sys.stdin.isatty():
        password = SecretBytes(os.fsencode(getpass.getpass("Password: ")))
    else:
        password = first_line(sys.stdin.buffer.readline(LONGEST + 1))
    if password is None:
        raise PasswordUnavailable(
            f"{'standard input' if source == '-' else source}: is empty: it must hold the password"
        )
    return password


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileInvalid(f"{path}: cannot be read: {error.strerror}") from error


def _write(data: bytes) -> int:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the verb's output
