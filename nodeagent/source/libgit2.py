"""The door to libgit2, by pygit2: opened so that it trusts no certificate authority, and shows what a server showed.

pygit2 loads all authorities of the node as it is imported, and none can be taken back: a configured one would be added
to them. And it withholds the certificate from the callback that judges it.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LOCATIONS = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/proc"}  # a directory without certificates


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


with _environment(_LOCATIONS):
    import pygit2  # noqa: TID251 - the door
    from pygit2 import enums  # noqa: TID251 - the door
    from pygit2.errors import check_error  # noqa: TID251 - the door
    from pygit2.ffi import C as LIBGIT2  # noqa: TID251 - the door
    from pygit2.ffi import ffi  # noqa: TID251 - the door

__all__ = ["LIBGIT2", "address_of", "check_error", "configure", "enums", "pygit2"]

_configured: list[tuple[Path, float, float]] = []  # what libgit2, which has one set of settings a process, was told

_CONFIGURATIONS = (
    enums.ConfigLevel.PROGRAMDATA,
    enums.ConfigLevel.SYSTEM,
    enums.ConfigLevel.XDG,
    enums.ConfigLevel.GLOBAL,
)

# struct git_cert_hostkey (git2/cert.h): kind of certificate, bits of what there is, three digests, kind of the key, the
# key and its length. pygit2's own declaration of it ends before the key.
_HOST_KEY = struct.Struct("@ii16s20s32siPN")
_HAS_KEY = 1 << 3  # GIT_CERT_SSH_RAW


@ffi.def_extern(name="_certificate_check_cb", error=LIBGIT2.GIT_EUSER)  # type: ignore[untyped-decorator]
def _certificate_check(certificate: Any, valid: int, host: Any, payload: Any) -> int:
    """As pygit2's own, which it replaces; the callback gets the certificate (DER) or host key (RFC 4253), as bytes."""
    callbacks = ffi.from_handle(payload)
    try:
        accepted = callbacks.certificate_check(_shown(certificate), bool(valid), ffi.string(host))
    except BaseException as error:  # noqa: BLE001 - raised again by pygit2, behind libgit2's code
        callbacks._stored_exception = error
        return int(LIBGIT2.GIT_EUSER)
    return 0 if accepted else int(LIBGIT2.GIT_ECERTIFICATE)


def address_of(repository: pygit2.Repository) -> int:
    """Where libgit2's own repository lies in memory."""
    return int(ffi.cast("uintptr_t", repository._repo))


def _shown(certificate: Any) -> bytes:
    if certificate.cert_type == LIBGIT2.GIT_CERT_X509:
        found = ffi.cast("git_cert_x509 *", certificate)
        return bytes(ffi.buffer(ffi.cast("char *", found.data), found.len))
    if certificate.cert_type != LIBGIT2.GIT_CERT_HOSTKEY_LIBSSH2:
        return b""
    fields = _HOST_KEY.unpack(ffi.buffer(ffi.cast("char *", certificate), _HOST_KEY.size))
    held, place, length = fields[1], fields[-2], fields[-1]
    return bytes(ffi.buffer(ffi.cast("char *", place), length)) if held & _HAS_KEY else b""


def configure(home: Path, connect_timeout: float, timeout: float) -> None:
    """Set up libgit2 for this process and those that it forks, unless it is; call it before a repository is opened.

    Args:
        home: the directory whose ``.ssh/known_hosts`` holds the pinned host keys.
        connect_timeout: seconds, to connect.
        timeout: seconds without a byte from the server.
    """
    wanted = (home, connect_timeout, timeout)
    if _configured == [wanted]:
        return
    _configured[:] = [wanted]
    settings = pygit2.settings
    for level in _CONFIGURATIONS:
        settings.search_path[level] = ""  # the node's own git configuration is none of ours, and may be unreadable
    settings.homedir = str(home)
    settings.server_connect_timeout = int(connect_timeout * 1000)
    settings.server_timeout = int(timeout * 1000)
    settings.enable_strict_object_creation(True)
    settings.enable_strict_hash_verification(False)  # it takes longer than to read; Store.read does it by OpenSSL
