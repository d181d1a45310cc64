"""Signed objects of git: a commit or a tag taken apart into what was signed and the signature. No I/O.

The signature of a commit stands in its header ``gpgsig``, whose further lines begin with a space; what was signed is
the commit without it. That of a tag stands behind its message; what was signed is all before it. The header
``gpgsig-sha256`` is of the same commit under its other id, and part of neither. (git's gitformat-signature(5))
"""

import re
from dataclasses import dataclass

from nodeagent.source.store.objects import Kind, MalformedError

_HEADER = b"gpgsig"
_OTHER_HASH = b"gpgsig-sha256"
_ARMOR = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----", re.MULTILINE)
_DATES = (b"committer", b"tagger")  # the last header that every object has
_DATED = {
    Kind.COMMIT: re.compile(rb"^committer .*> ([0-9]{1,11}) [+-][0-9]{4}$", re.MULTILINE),
    Kind.TAG: re.compile(rb"^tagger .*> ([0-9]{1,11}) [+-][0-9]{4}$", re.MULTILINE),
}
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype ([a-z]+)\ntag ([^\n\0]+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """``signature`` is armored text; empty where there is none."""

    payload: bytes
    signature: bytes
    dated: int  # by the committer or tagger, in seconds since the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What a tag says that it stands for."""

    name: bytes
    kind: str
    oid: str  # hex


def of_commit(content: bytes) -> Signed:
    """Take a commit apart.

    Raises:
        MalformedError: it has two signatures, or git did not write it.
    """
    payload, signature = _without_signature(content)
    return Signed(payload=payload, signature=signature, dated=_date(Kind.COMMIT, payload))


def of_tag(content: bytes) -> Signed:
    """Take an annotated tag apart. As git does, by the last line in it that begins a signature.

    Raises:
        MalformedError: git did not write it.
    """
    begin = max((found.start() for found in _ARMOR.finditer(content)), default=len(content))
    payload, other = _without_signature(content[:begin])
    if other:
        raise MalformedError("a tag with a signature in its header")
    return Signed(payload=payload, signature=content[begin:], dated=_date(Kind.TAG, payload))


def tag_of(payload: bytes) -> Tag:
    """What a tag stands for, from what was signed of it.

    Raises:
        MalformedError: git did not write it.
    """
    found = _TAG.match(payload)
    if found is None:
        raise MalformedError("a tag that does not say what it stands for")
    return Tag(oid=found[1].decode(), kind=found[2].decode(), name=found[3])


def _without_signature(content: bytes) -> tuple[bytes, bytes]:
    """An object without its headers of signatures, and the content of the one ``gpgsig``."""
    head, blank, message = content.partition(b"\n\n")
    if not blank:
        raise MalformedError("an object without an end of its header")
    kept: list[bytes] = []
    signature: list[bytes] = []
    into, dated = kept, False
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if not name:  # one more line of the header above
            into.append(line if into is kept else value)
        elif name.startswith(_HEADER) and not dated:  # what comes first is read of the whole object
            raise MalformedError("a signature before what was signed")
        elif name == _HEADER and signature:
            raise MalformedError("two signatures")
        elif name == _HEADER:
            into = signature
            into.append(value)
        elif name == _OTHER_HASH:
            into = []
        elif name.startswith(_HEADER):  # git takes it for no part of what was signed: anything might stand there
            raise MalformedError("a signature in a header that git does not write")
        else:
            into, dated = kept, dated or name in _DATES
            into.append(line)
    return b"\n".join(kept) + blank + message, b"".join(line + b"\n" for line in signature)


def _date(kind: Kind, payload: bytes) -> int:
    found = _DATED[kind].search(payload.partition(b"\n\n")[0])
    if found is None:
        raise MalformedError(f"a {kind} without a date")
    return int(found[1])
