"""Who may sign: the file that git's ``gpg.ssh.allowedSignersFile`` names, and a list of keys that count no more.

No I/O.

The format is that of ssh-keygen(1), ALLOWED SIGNERS: principals, options, key. Where ssh-keygen passes over what it
cannot read, nothing here does: a line that is not understood is an error, or a restriction in it might be missed.
"""

import calendar
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nodeagent.source.trust import ssh_key
from nodeagent.source.trust.ssh_key import PublicKey, UnsoundError

T = TypeVar("T")

_BLANK = " \t"
_WORD = re.compile(r'"([^"]*)"(?=[ \t])|([^" \t]+)(?=[ \t])')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?')
_KEY = re.compile(r"([A-Za-z0-9@.-]+)[ \t]+([A-Za-z0-9+/=]+)(?:[ \t].*)?")
_TIME = re.compile(r"([0-9]{8}(?:[0-9]{4}(?:[0-9]{2})?)?)(Z|UTC)?", re.IGNORECASE)
_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_REVOCATION_LIST = b"SSHKRL\n\0"
_CERTIFICATE = "-cert-v01@openssh.com"


class FileError(ValueError):
    """A line of the file is not what it has to be; the text says which, and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line. ``since`` and ``until`` are seconds since the epoch, both included; None: without a bound."""

    principals: str
    key: PublicKey
    namespaces: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def principal(self) -> str:
        """The first of its principals that is not taken away again by another; empty if there is none."""
        return next((name for name in self.principals.split(",") if name and _matches(name, self.principals)), "")

    def may_sign(self, namespace: str) -> bool:
        return bool(self.principal) and (self.namespaces is None or _matches(namespace, self.namespaces))

    def holds(self, moment: int) -> bool:
        """Whether it is valid at a time, in seconds since the epoch."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)


def parse(data: bytes) -> Sequence[Signer]:
    """Read a file of allowed signers.

    Raises:
        FileError: a line cannot be followed.
    """
    found = [_numbered(number, _signer, line) for number, line in _lines(data)]
    if not found:
        raise FileError("it names nobody")
    return found


def parse_revoked(data: bytes) -> frozenset[PublicKey]:
    """Read a list of public keys, one a line.

    Raises:
        FileError: a line holds none, or the file is a key revocation list in OpenSSH's binary format.
    """
    if data.startswith(_REVOCATION_LIST):
        raise FileError("it is a binary revocation list (KRL): name a file with the public keys themselves, one a line")
    return frozenset(_numbered(number, _key, line) for number, line in _lines(data))


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FileError("it is no text") from error
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.removesuffix("\r").strip(_BLANK)
        if bare.startswith("#") or not bare:
            continue
        if not bare.replace("\t", "").isprintable():
            raise FileError(f"line {number}: has a control character")  # some are the end of it for ssh-keygen
        yield number, bare


def _numbered(number: int, read: Callable[[str], T], line: str) -> T:
    try:
        return read(line)
    except UnsoundError as error:
        raise FileError(f"line {number}: {error}") from error


def _signer(line: str) -> Signer:
    found = _WORD.match(line)
    if found is None:
        raise UnsoundError("principals, options, type and key are needed, in this order")
    principals, rest = found[1] or found[2] or "", line[found.end() :].lstrip(_BLANK)
    if not principals or _is_key(principals):
        raise UnsoundError("names no principal: it comes before the key, as in alice@example.com ssh-ed25519 AAAA...")
    options: Mapping[str, str | None] = {}
    if not _is_key(rest):
        options, rest = _options(rest)
    if "cert-authority" in options:
        raise UnsoundError("cert-authority: certificates are not taken: name the keys themselves")
    key = _key(rest)
    if key.is_weak:
        raise UnsoundError(f"the RSA key has fewer than {ssh_key.SMALLEST_RSA} bits")
    since, until = (_moment(name, options.get(name)) for name in ("valid-after", "valid-before"))
    if since is not None and until is not None and until <= since:
        raise UnsoundError("valid-before is not after valid-after")
    return Signer(principals=principals, key=key, namespaces=options.get("namespaces"), since=since, until=until)


def _is_key(text: str) -> bool:
    kind = text.split(maxsplit=1)[0] if text else ""
    return kind in ssh_key.KINDS or kind == "ssh-dss" or kind.endswith(_CERTIFICATE)


def _key(text: str) -> PublicKey:
    found = _KEY.fullmatch(text)
    if found is None:
        raise UnsoundError("a type and a key are needed, as in id_ed25519.pub")
    kind = found[1]
    if kind.endswith(_CERTIFICATE):
        raise UnsoundError(f"{kind}: certificates are not taken: name the keys themselves")
    if kind not in ssh_key.KINDS:
        raise UnsoundError(f"{kind}: keys of this type are not taken")
    try:
        return ssh_key.decode(kind, found[2])
    except UnsoundError as error:
        raise UnsoundError(f"the key {error}") from error


def _options(text: str) -> tuple[Mapping[str, str | None], str]:
    """The options at the beginning of a text, and what stands behind them."""
    options: dict[str, str | None] = {}
    at = 0
    while True:
        found = _OPTION.match(text, at)
        if found is None:
            raise UnsoundError(f"neither an option nor a key: {text[at : at + 40]!a}")
        name, value = found[1].lower(), found[2]
        if name not in ("cert-authority", "namespaces", "valid-after", "valid-before"):
            raise UnsoundError(f"the option {name} is not known")
        if (value is None) != (name == "cert-authority"):
            raise UnsoundError(f'{name}: is written as {name}="..."' if value is None else f"{name}: takes no value")
        if name in options:
            raise UnsoundError(f"{name}: stands there twice")
        options[name] = None if value is None else value.replace('\\"', '"')
        at = found.end()
        if not text.startswith(",", at):
            break
        at += 1
    if text[at : at + 1] not in (" ", "\t"):
        raise UnsoundError(f"what is behind the option {name} is not understood: {text[at : at + 40]!a}")
    return options, text[at:].lstrip(_BLANK)


def _moment(option: str, text: str | None) -> int | None:
    """A time as ssh-keygen reads it: YYYYMMDD[HHMM[SS]], of the node's time zone unless a Z follows."""
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        read = time.strptime(found[1], _FORMATS[len(found[1])])
        moment = calendar.timegm(read) if found[2] else int(time.mktime((*read[:8], 0)))
        if moment <= 0:
            raise ValueError(text)
    except (ValueError, OverflowError):
        raise UnsoundError(f"{option}: a time is needed such as 20260131 or 202601311200Z, not {text!a}") from None
    return moment


def _matches(text: str, patterns: str) -> bool:
    """As OpenSSH's match_pattern_list: one matches, and none that begins with an exclamation mark does."""
    matched = False
    for pattern in patterns.split(","):
        if _expression(pattern.removeprefix("!")).fullmatch(text):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _expression(pattern: str) -> "re.Pattern[str]":
    return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), re.DOTALL)
