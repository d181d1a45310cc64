"""The password of the key file: from a systemd credential, else a root-only file in memory, else a program.

The password is the first line of its source, exactly as ``openssl -pass file:`` reads it (``app_get_pass`` in openssl's
``apps/lib/apps.c``): the line ends at the first LF; a CR before it belongs to the password; at most 1023 bytes count,
and nothing after a NUL byte.
"""

from pathlib import Path

from nodeagent.config import Password
from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets import command, private_file
from nodeagent.source.secrets.memory import Secret

LONGEST = 1023  # bytes; openssl's APP_PASS_LEN without the terminating NUL


def first_line(found: Secret) -> bool:
    """Leave the password alone of what a source gave; whether openssl finds one: not in no bytes, nor after a NUL."""
    data = found.view[:LONGEST]
    length = next((at for at, octet in enumerate(data) if octet in b"\n\0"), len(data))
    is_there = bool(data) and data[0] != 0
    found.cut(length)
    return is_there


def read_password(config: Password, credentials_directory: Path | None) -> Secret:
    """Read the password from the first source that is there.

    ``credentials_directory`` is what systemd put into ``$CREDENTIALS_DIRECTORY``; None outside of a unit.

    Raises:
        PasswordUnavailable: no source is there, or the first one that is there is empty or not private.
        PasswordCommandFailed: the program failed.
    """
    tried = []
    if credentials_directory is None:
        tried.append(f"systemd credential {config.credential}: this process was given no credentials directory")
    else:
        path = credentials_directory / config.credential
        # systemd chose the place: ramfs, else tmpfs.
        if (found := private_file.read(path, LONGEST + 1, in_memory=False)) is not None:
            return _taken(found, str(path))
        tried.append(f"systemd credential {path}: no such file")
    if (found := private_file.read(config.file, LONGEST + 1, in_memory=True)) is not None:
        return _taken(found, str(config.file))
    tried.append(f"{config.file}: no such file")
    if config.command:
        found = command.ask(config.command, time_limit=config.timeout)
        return _taken(found, f"password.command: {config.command[0]}")
    raise PasswordUnavailable(
        f"no password for the key file ({'; '.join(tried)}): give the unit LoadCredential={config.credential}:FILE, "
        f"write the password to {config.file} (root-only, on tmpfs), or set password.command"
    )


def _taken(found: Secret, name: str) -> Secret:
    if not first_line(found):
        raise PasswordUnavailable(f"{name}: is empty: its first line must be the password of the key file")
    return found
