"""Appends in what the agent does not read: a text that is run later, a substitution, another language."""

import re
from collections.abc import Iterator

from nodeagent.evaluate.syntax import Command, Opaque
from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.places import Place
from nodeagent.lint.program import Program
from nodeagent.lint.rules.again import HARMLESS_APPEND, LOOKS

_APPENDS = re.compile(
    rb">>\s*\\?[\"']?(/(?:etc|root|home|boot|usr|opt|var/spool|var/lib|var/cron)/[\w./-]+)"
    rb"|\btee\s+-a\s+[\"']?(/[\w./-]+)|\boflag=[\w,]*append"
)
_SAYS = frozenset({"echo", "printf", "logger"})
_SUBSTITUTION = re.compile(rb"[$<>]\(|`")
_GUARD = re.compile(rb"grep|(?:\[|\btest)\s")


def append_unread(program: Program) -> Iterator[Finding]:
    for place in program.places:
        for found in _APPENDS.finditer(_read_otherwise(program, place)):
            target = found[1] or found[2] or b"a file"
            if not HARMLESS_APPEND.match(target):
                yield program.finding(
                    "append-in-script",
                    place.node.start,
                    f"appends to {shown(target)} in a text of its own"
                    + ", which the agent does not read" * program.entry,
                )


def _read_otherwise(program: Program, place: Place) -> bytes:
    """A statement's text without what is known to be its redirections and operands."""
    node = place.node
    if isinstance(node, Opaque):
        text = bytearray(program.script.slice(node))
    elif isinstance(node, Command) and node.name != "tee":
        text = bytearray(program.script.slice(node))
        for redirect in node.redirects:
            if redirect.target is not None and not _SUBSTITUTION.search(redirect.target.text):
                start, end = redirect.target.start - node.start, redirect.target.end - node.start
                text[start:end] = b" " * (end - start)
        if node.name in _SAYS and not _SUBSTITUTION.search(text):
            return b""
    else:
        return b""
    guarded = program.guarded(place, LOOKS) or _GUARD.search(text)
    return b"" if guarded else bytes(text)
