"""The password of the key file: a systemd credential, else a root-only file in memory.

The password is the first line of its source, exactly as ``openssl -pass file:`` reads it (``app_get_pass`` in openssl's
``apps/lib/apps.c``): the line ends at the first LF; a CR before it belongs to the password; at most 1023 bytes count,
and nothing after a NUL byte.
"""

import os
import stat
from pathlib import Path

from pydantic import SecretBytes

from nodeagent.config import Password
from nodeagent.errors import PasswordUnavailable
from nodeagent.source import storage

LONGEST = 1023  # bytes; openssl's APP_PASS_LEN without the terminating NUL


def first_line(data: bytes) -> SecretBytes | None:
    """The password in what a source gave; None where openssl finds none: no bytes at all, or a NUL first."""
    if not data or data.startswith(b"\0"):
        return None
    return SecretBytes(data[:LONGEST].split(b"\n", 1)[0].split(b"\0", 1)[0])


def read_password(config: Password, credentials_directory: Path | None) -> SecretBytes:
    """Read the password from the first source that is there.

    ``credentials_directory`` is what systemd put into ``$CREDENTIALS_DIRECTORY``; None outside of a unit.

    Raises:
        PasswordUnavailable: no source is there, or the first one that is there is empty or not private.
    """
    tried = []
    if credentials_directory is None:
        tried.append(f"systemd credential {config.credential}: this process was given no credentials directory")
    else:
        path = credentials_directory / config.credential
        password = _read(path, in_memory=False)  # systemd chose the place: ramfs, else tmpfs
        if password is not None:
            return password
        tried.append(f"systemd credential {path}: no such file")
    password = _read(config.file, in_memory=True)
    if password is not None:
        return password
    tried.append(f"{config.file}: no such file")
    raise PasswordUnavailable(
        f"no password for the key file ({'; '.join(tried)}): give the unit LoadCredential={config.credential}:FILE, "
        f"or write the password to {config.file} (root-only, on tmpfs) before nodeagent starts"
    )


def _read(path: Path, *, in_memory: bool) -> SecretBytes | None:
    """Read one source; None when the file does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PasswordUnavailable(f"{path}: cannot be read: {error.strerror}") from error
    try:
        _demand_private(path, os.fstat(descriptor))
        if in_memory and not storage.is_memory(Path(f"/proc/self/fd/{descriptor}")):
            raise PasswordUnavailable(
                f"{path}: lies on a disk, which would keep the password: put it on a tmpfs, such as below /run"
            )
        password = first_line(os.read(descriptor, LONGEST + 1))
    finally:
        os.close(descriptor)
    if password is None:
        raise PasswordUnavailable(f"{path}: is empty: its first line must be the password of the key file")
    return password


def _demand_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PasswordUnavailable(f"{path}: is no regular file")
    if found.st_uid != os.geteuid():
        raise PasswordUnavailable(f"{path}: belongs to user {found.st_uid}, not to {os.geteuid()}: chown it")
    if found.st_mode & 0o077:
        raise PasswordUnavailable(
            f"{path}: others may read it (mode {stat.S_IMODE(found.st_mode):04o}): chmod 0400 it, change the password"
        )
