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
from nodeagent.model.address import SSH_PORT, Ssh
from nodeagent.source import storage

_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One public key: its type (``ssh-ed25519``) and its base64 form."""

    kind: str
    key: str

    @classmethod
    def from_blob(cls, blob: bytes) -> "Pin":
        """A public key as a server shows it (RFC 4253, section 6.6): its type comes first, as a string."""
        length = int.from_bytes(blob[:4], "big")
        return cls(kind=blob[4 : 4 + length].decode("ascii", "replace"), key=base64.b64encode(blob).decode())

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What is pinned for one address. ``keys`` are those that it may show, without the revoked ones."""

    keys: Sequence[Pin] = ()
    revoked: Sequence[Pin] = ()  # whatever host they are revoked for
    authorities: Sequence[Pin] = ()  # that sign host certificates, which are not understood


def pinned(text: str, address: Ssh) -> Pinned:
    """Look an address up in ``known_hosts`` lines; ``[HOST]:PORT`` goes before plain ``HOST``, as in OpenSSH."""
    lines = list(_lines(text))
    revoked = list(dict.fromkeys(line.pin for line in lines if line.marker == _REVOKED))
    keys: list[Pin] = []
    authorities: list[Pin] = []
    for name in _names(address):
        found = [line for line in lines if _matches(line.hosts, name)]
        authorities += [line.pin for line in found if line.marker == _AUTHORITY]
        keys = keys or [line.pin for line in found if not line.marker]
    return Pinned(
        keys=[pin for pin in dict.fromkeys(keys) if pin not in revoked], revoked=revoked, authorities=authorities
    )


def narrow(source: Path, lines: Sequence[str], home: Path, addresses: Sequence[Ssh]) -> None:
    """Write ``HOME/.ssh/known_hosts`` for the addresses, unless it is there and nothing has changed since.

    A source that is missing is an empty one; ``lines`` count as if they stood in it. What is pinned nowhere is not
    trusted. The result is readable for the fetch user, and only its owner can write it.

    Raises:
        InvalidConfiguration: the source is there and cannot be read.
    """
    target = home / ".ssh" / "known_hosts"
    given = hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""
    stamp = f"# {' '.join(map(str, addresses))} {_identity(source)} {given}\n"
    try:
        if target.read_bytes().startswith(stamp.encode()):
            return
    except FileNotFoundError:
        storage.make_passable(target.parent)
    text = "\n".join([_read(source), *lines])
    content = stamp + "".join(_narrow_line(pinned(text, address), address) for address in addresses)
    temporary = target.with_name(f".known_hosts.{os.getpid()}")
    try:
        temporary.write_text(content)
        temporary.chmod(0o644)
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def narrowed(home: Path, address: Ssh) -> Pinned:
    """What :func:`narrow` wrote; nothing if this process cannot read it."""
    try:
        text = (home / ".ssh" / "known_hosts").read_text()
    except OSError:
        return Pinned()
    return pinned(text.replace("#@", "@"), address)


def _narrow_line(found: Pinned, address: Ssh) -> str:
    """Lines that libssh2 understands; behind ``#``, what it would not."""
    name = next(_names(address))
    marked = (("", found.keys), (f"#{_REVOKED} ", found.revoked), (f"#{_AUTHORITY} ", found.authorities))
    return "".join(f"{marker}{name} {pin.kind} {pin.key}\n" for marker, pins in marked for pin in pins)


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


def _names(address: Ssh) -> Iterator[str]:
    host = address.host.lower()
    if address.port != SSH_PORT:
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
