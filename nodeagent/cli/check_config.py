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

from nodeagent.config import DEFAULT_FILE, Config, load
from nodeagent.errors import InvalidConfiguration


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
    yield from _file(config.source.key, "source.key", needed=True)
    yield from _file(config.source.known_hosts, "source.known_hosts", needed=not config.source.host_keys)
    yield from _file(config.password.file, "password.file", needed=False, secret=True)  # else it is a credential
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


def _file(path: Path, name: str, *, needed: bool, secret: bool = False) -> Iterator[str]:
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
    if secret and found.st_mode & 0o077:
        yield f"{name}: {path}: others can read it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 0400"
    elif found.st_mode & 0o022:
        yield f"{name}: {path}: others can change it (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w"
