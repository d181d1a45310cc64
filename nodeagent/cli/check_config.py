"""``nodeagent check-config``: whether the daemon would take the configuration."""

import argparse
import json
import os
import pwd
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodeagent.cli import check_credentials
from nodeagent.config import DEFAULT_FILE, Config, Password, load
from nodeagent.errors import InvalidConfiguration, PasswordUnavailable
from nodeagent.source.remote.access import wants_key
from nodeagent.source.secrets import command, private_file


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "check-config",
        help="check the configuration, and the files that it names",
        description="Check the configuration and the files that it names: that they are there, and that nobody but "
        "root can change them, or read the password. Exit code 1: something is wrong.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--show", action="store_true", help="print all values, with the defaults")
    parser.set_defaults(func=_check)


def _check(args: argparse.Namespace) -> int:
    config = load(args.config)
    if args.show:
        print("\n".join(_values(config.model_dump(mode="json"), "")))  # noqa: T201 - the verb's output
    problems = list(_problems(args.config, config))
    for problem in problems:
        print(f"nodeagent: {problem}", file=sys.stderr)  # noqa: T201 - the verb's voice
    if problems:
        return 1
    print(f"{args.config}: OK")  # noqa: T201 - the verb's output
    return 0


def _values(table: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key} = {json.dumps(value)}"


def _problems(file: Path, config: Config) -> Iterator[str]:
    yield from _file(file, "the configuration", needed=True)
    if wants_key(config):
        key_comes = check_credentials.is_there(config.source.key_credential)
        yield from _file(config.source.key, "source.key", needed=not key_comes)
        yield from _file(config.source.known_hosts, "source.known_hosts", needed=not config.source.host_keys)
        yield from _password(config.password)
    if config.source.ca_file is not None:
        yield from _file(config.source.ca_file, "source.ca_file", needed=True)
    yield from _secret(config.login.file, "login.file")
    yield from _secret(config.proxy_login.file, "proxy_login.file")
    tables = (config.password, config.login, config.proxy_login)
    for name in (*(table.credential for table in tables), config.source.key_credential):
        yield from check_credentials.problems(name)
    if config.environment_file is not None:
        yield from _file(config.environment_file, "environment_file", needed=True)
    yield from _signatures(config)
    try:
        pwd.getpwnam(config.source.user)
    except KeyError:
        yield f"source.user: there is no user {config.source.user}: create it with systemd-sysusers"


def _signatures(config: Config) -> Iterator[str]:
    if not config.signatures.required:
        return
    from nodeagent.source.trust.signers import Signers  # noqa: PLC0415 - few demand signatures

    for name, path in config.signatures.files.items():
        yield from _file(path, f"signatures.{name}", needed=True)
    if not all(path.is_file() for path in config.signatures.files.values()):
        return
    try:
        Signers.load(config)
    except InvalidConfiguration as error:
        yield str(error)


def _password(config: Password) -> Iterator[str]:
    """Of the two sources that can be looked at without asking for the password."""
    yield from _secret(config.file, "password.file")
    if config.command:
        try:
            command.find(config.command[0])
        except PasswordUnavailable as error:
            yield str(error)


def _secret(path: Path, name: str) -> Iterator[str]:
    try:
        if os.geteuid() == 0 and (found := private_file.read(path, 1, in_memory=True)) is not None:
            found.wipe()
    except PasswordUnavailable as error:
        yield f"{name}: {error}"


def _file(path: Path, name: str, *, needed: bool) -> Iterator[str]:
    try:
        found = path.stat()
    except FileNotFoundError:
        if needed:
            yield f"{name}: {path}: no such file"
        return
    except OSError as error:
        yield f"{name}: {path}: {error.strerror}"
        return
    if not stat.S_ISREG(found.st_mode):
        yield f"{name}: {path}: not a regular file"
    if found.st_uid not in {0, os.geteuid()}:
        yield f"{name}: {path}: belongs to user {found.st_uid}: root must own it"
    if found.st_mode & 0o022:
        yield f"{name}: {path}: others can change it (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w"
