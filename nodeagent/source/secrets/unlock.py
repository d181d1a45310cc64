"""The deploy key: as a systemd credential, or decrypted, at most once, and kept in memory-backed storage only.

Runs as root in the fetch worker, before it gives up its privileges.
"""

import contextlib
import os
import stat
from pathlib import Path

from nodeagent.config import Config
from nodeagent.errors import InsecureStorage, KeyFileInvalid
from nodeagent.node import needs
from nodeagent.source import storage
from nodeagent.source.secrets import private_file, private_key
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.password import read_password

DIRECTORY = "private"  # below paths.runtime
PREFIX = "deploy_key."
_MOST = 65_536  # bytes of a private key; one of RSA with 16,384 bits has 13,000


def unlock(config: Config, credentials_directory: Path | None) -> bytes:
    """Give the deploy key's bytes; decrypt the key file only when it is new or has changed.

    The decrypted key is a file of mode 0400 below ``paths.runtime``; its name holds the identity of the key file that
    it was made from (device, inode, size, times), so that a changed key file is never answered with the old key.

    Raises:
        KeyFileInvalid: the key file or credential is missing, unreadable, damaged or no usable key.
        InsecureStorage: ``paths.runtime`` is not a tmpfs or ramfs.
        NodeUnusable: ``paths.runtime`` is full.
        PasswordUnavailable, PasswordCommandFailed, WrongPassword: see :mod:`nodeagent.source.secrets.password` and
            ``deploy_key``.
    """
    key = unencrypted(config, credentials_directory)
    return key if key is not None else _decrypted(config, credentials_directory, None)


def unlock_with(config: Config, password: Secret) -> None:
    """Decrypt the key file with this password, for who comes after.

    Raises:
        NodeagentError: as :func:`unlock`.
    """
    _decrypted(config, None, password)


def unencrypted(config: Config, credentials_directory: Path | None) -> bytes | None:
    """The deploy key as a systemd credential; None when there is none.

    Raises:
        KeyFileInvalid: it is no usable key.
        PasswordUnavailable: others may read it.
    """
    if credentials_directory is None:
        return None
    path = credentials_directory / config.source.key_credential
    found = private_file.read(path, _MOST, in_memory=False)  # systemd chose the place
    if found is None:
        return None
    with found:
        key = bytes(found.view)
    private_key.demand_usable(key, f"{path}: the private key in the credential")
    return key


def forget(runtime: Path) -> None:
    """Remove every decrypted key."""
    for old in (runtime / DIRECTORY).glob(f"*{PREFIX}*"):
        old.unlink(missing_ok=True)


def _decrypted(config: Config, credentials_directory: Path | None, password: Secret | None) -> bytes:
    try:
        found = os.stat(config.source.key)
    except OSError as error:
        raise KeyFileInvalid(
            f"{config.source.key}: cannot be read: {error.strerror}: put the encrypted deploy key there, "
            "or set source.key"
        ) from error
    name = f"{PREFIX}{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"
    kept = config.paths.runtime / DIRECTORY / name
    if password is None:
        with contextlib.suppress(FileNotFoundError):
            return kept.read_bytes()
    with needs(config.paths.runtime):
        _make_private_directory(config.paths.runtime)
    # Needed once a boot, in a child: in the daemon it would be 6 MiB for as long as the node is up.
    from nodeagent.source.secrets import deploy_key  # noqa: PLC0415 - see above

    with password if password is not None else read_password(config.password, credentials_directory) as secret:
        key = deploy_key.open_file(config.source, secret.view)
    with needs(kept):
        _keep(kept, key)
    return key


def _make_private_directory(runtime: Path) -> None:
    directory = runtime / DIRECTORY
    storage.make_passable(runtime)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_mode != stat.S_IFDIR | 0o700 or found.st_uid != os.geteuid():
        raise InsecureStorage(
            f"{directory}: must be a directory of mode 0700 that belongs to user {os.geteuid()}: remove it, "
            "nodeagent makes it anew"
        )
    if not storage.is_memory(directory):
        raise InsecureStorage(
            f"{directory}: lies on a disk, which would keep the deploy key: paths.runtime must be on a tmpfs (/run)"
        )


def _keep(kept: Path, key: bytes) -> None:
    """Place the key whole or not at all, and drop the ones before it; not what another process is about to place."""
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(key)
        for old in kept.parent.glob(f"*{PREFIX}*"):
            if old not in (temporary, kept) and not _is_at_work(old):
                old.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # who works at the same time has removed it: it is no loss
            temporary.rename(kept)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_at_work(temporary: Path) -> bool:
    """Whether the process is there that made such a file, which it renames in the end."""
    return temporary.name.startswith(".") and Path("/proc", temporary.suffix[1:]).exists()
