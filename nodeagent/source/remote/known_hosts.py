"""Pinned host keys: OpenSSH's ``known_hosts`` format (sshd(8)), narrowed to the one host that matters.

libssh2 reads neither patterns nor ``@revoked`` lines nor CR/LF, and gives up at the first line that it does not
understand. So the administrator's file is read here, with OpenSSH's meaning, and what is left for libssh2 is a private
file that holds the keys of one host, each on a plain line of its own.
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import InvalidConfiguration
from nodeagent.source import storage
from nodeagent.source.remote.address import DEFAULT_PORT, Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One public key: its type (``ssh-ed25519``) and its base64 form."""

    kind: str
    key: str

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    marker: str
    hosts: str
    pin: Pin


def pins(text: str, address: Address) -> Sequence[Pin]:
    """The keys that are pinned for the address; ``[HOST]:PORT`` lines go before plain ``HOST`` lines, as in OpenSSH.

    Certificate authorities are left out: host certificates are not supported.
    """
    lines = list(_lines(text))
    revoked = {line.pin for line in lines if line.marker == "@revoked"}
    for name in _names(address):
        found = [line.pin for line in lines if not line.marker and _matches(line.hosts, name)]
        if found:
            return [pin for pin in dict.fromkeys(found) if pin not in revoked]
    return []


def narrow(source: Path, home: Path, address: Address) -> None:
    """Write ``HOME/.ssh/known_hosts`` for the address, unless it is there and the source has not changed since.

    A source that is missing is an empty one: then nothing is pinned, and no server is trusted. The result is readable
    for the fetch user, and only its owner can write it.

    Raises:
        InvalidConfiguration: the source is there and cannot be read.
    """
    target = home / ".ssh" / "known_hosts"
    stamp = f"# {address} {_identity(source)}\n"
    try:
        if target.read_bytes().startswith(stamp.encode()):
            return
    except FileNotFoundError:
        storage.make_passable(target.parent)
    text = _read(source)
    name = address.host if address.port == DEFAULT_PORT else f"[{address.host}]:{address.port}"
    content = stamp + "".join(f"{name} {pin.kind} {pin.key}\n" for pin in pins(text, address))
    temporary = target.with_name(f".known_hosts.{os.getpid()}")
    try:
        temporary.write_text(content)
        temporary.chmod(0o644)
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def narrowed(home: Path) -> Sequence[Pin]:
    """What :func:`narrow` wrote; nothing if this process cannot read it."""
    try:
        return [line.pin for line in _lines((home / ".ssh" / "known_hosts").read_text())]
    except OSError:
        return []


def _read(source: Path) -> str:
    try:
        return source.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidConfiguration(f"source.known_hosts: {source}: cannot be read: {error.strerror}") from error


def _identity(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "missing"
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _names(address: Address) -> Iterator[str]:
    host = address.host.lower()
    if address.port != DEFAULT_PORT:
        yield f"[{host}]:{address.port}"
    yield host


def _lines(text: str) -> Iterator[_Line]:
    for raw in text.splitlines():
        words = raw.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        hosts, kind, key = words[:3]
        if _is_key(kind, key):
            yield _Line(marker=marker, hosts=hosts, pin=Pin(kind=kind, key=key))


def _is_key(kind: str, key: str) -> bool:
    """A public key begins with its type as an SSH string (RFC 4253, section 6.6)."""
    try:
        blob = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    return blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def _matches(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        return _matches_hash(hosts, name)
    matched = False
    for pattern in hosts.lower().split(","):
        # Only * and ? are special in OpenSSH; the brackets of [host]:port are not.
        glob = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, glob):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _matches_hash(hosts: str, name: str) -> bool:
    """``|1|SALT|HASH``: HMAC-SHA1 of the name, keyed with the salt (ssh-keygen -H)."""
    salt, _, digest = hosts.removeprefix("|1|").partition("|")
    try:
        key, expected = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(key, name.encode(), "sha1"), expected)
