"""Which names ``--include`` and ``--exclude`` leave out: the pattern language of rsync(1), *FILTER RULES*.

The rules are asked in their order, and the first that matches decides. A name is its path below the top of what is
copied: ``etc/ssh`` for ``rsync -a etc DST``, ``ssh`` for ``rsync -a etc/ DST``.

* A pattern with a slash in front is anchored at that top. One with another slash matches the last parts of a path, or
  the parts after any slash where it has ``**`` as well; one without a slash the last part alone, unless it has ``**``.
* A trailing slash means directories only. ``PATTERN/***`` means a directory with all that is in it.
* ``*`` stands for any characters but a slash, ``**`` for any, ``?`` for one that is no slash, ``[...]`` for one of a
  class. In a pattern with one of these a backslash quotes the next character; elsewhere it is itself.
"""

import os
import re
import string
from dataclasses import dataclass

_SLASH = ord("/")
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, [*range(32), 127])),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": string.whitespace,
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class PatternError(ValueError):
    """The pattern is one whose meaning is not known for sure."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``--include`` or ``--exclude``, from :func:`rule`."""

    include: bool
    pattern: str
    directories_only: bool
    slash_behind: bool  # a directory is asked with a slash behind its name
    expression: re.Pattern[bytes]  # of the path with a slash in front

    def matches(self, path: bytes, *, is_directory: bool) -> bool:
        if self.directories_only and not is_directory:
            return False
        behind = b"/" if self.slash_behind and is_directory else b""
        return self.expression.fullmatch(b"/" + path + behind) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them, in the order in which they were given."""

    rules: tuple[Rule, ...] = ()

    def leave_out(self, path: str, *, is_directory: bool) -> bool:
        """Whether what has this path below the top is left out."""
        if not self.rules:
            return False
        raw = os.fsencode(path)
        return next((not rule.include for rule in self.rules if rule.matches(raw, is_directory=is_directory)), False)


def rule(pattern: str, *, include: bool) -> Rule:
    """Read a pattern.

    Raises:
        PatternError: it is empty, begins like a rule (``- ``, ``+ ``, ``!``), or a class in it does not end.
    """
    if pattern.startswith(("- ", "+ ", "!")) or pattern in {"", "/"}:
        raise PatternError(pattern)
    raw = os.fsencode(pattern)
    directories_only = raw.endswith(b"/")
    raw = raw.removesuffix(b"/")
    if raw.startswith(b"**"):
        lead = b""
    elif raw.startswith(b"/"):
        raw, lead = raw[1:], b"/"
    else:
        lead = b".*/"
    wild = any(c in raw for c in b"*[?")
    return Rule(
        include=include,
        pattern=pattern,
        directories_only=directories_only,
        slash_behind=raw.endswith(b"***"),
        expression=re.compile(lead + (_translated(raw) if wild else re.escape(raw)), re.DOTALL),
    )


def _translated(raw: bytes) -> bytes:
    """A pattern with wildcards as a regular expression."""
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        char = raw[at : at + 1]
        at += 1
        if char == b"\\":
            if at == len(raw):
                raise PatternError(os.fsdecode(raw))
            parts.append(re.escape(raw[at : at + 1]))
            at += 1
        elif char == b"?":
            parts.append(b"[^/]")
        elif char == b"*":
            stars = len(raw[at - 1 :]) - len(raw[at - 1 :].lstrip(b"*"))
            parts.append(b"[^/]*" if stars == 1 else b".*")
            at += stars - 1
        elif char == b"[":
            chars, at = _class(raw, at)
            parts.append(b"[" + b"".join(b"\\x%02x" % c for c in sorted(chars)) + b"]" if chars else b"(?!)")
        else:
            parts.append(re.escape(char))
    return b"".join(parts)


def _class(raw: bytes, at: int) -> tuple[set[int], int]:
    """The bytes that a class matches, and where it ends; ``at`` is behind its ``[``."""
    negated = raw[at : at + 1] in {b"!", b"^"}
    members: set[int] = set()
    before: int | None = None  # the character that a "-" makes the beginning of a range
    at += negated
    first = True
    while first or raw[at : at + 1] != b"]":
        first = False
        named = re.compile(rb"\[:([^\]]*):\]").match(raw, at)
        if named:
            if named[1] not in _CLASSES:
                raise PatternError(os.fsdecode(raw))
            members.update(_CLASSES[named[1]].encode())
            before, at = None, named.end()
        elif raw[at : at + 1] == b"-" and before is not None and raw[at + 1 : at + 2] not in {b"", b"]"}:
            last, at = _member(raw, at + 1)
            members.update(range(before, last + 1))
            before = None
        else:
            before, at = _member(raw, at)
            members.add(before)
    if negated:
        members = set(range(256)) - members
    return members - {_SLASH}, at + 1


def _member(raw: bytes, at: int) -> tuple[int, int]:
    """One character of a class, which a backslash may quote, and what is behind it."""
    at += raw[at : at + 1] == b"\\"
    if at >= len(raw):
        raise PatternError(os.fsdecode(raw))
    return raw[at], at + 1
