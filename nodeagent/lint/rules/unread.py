"""Appends in what the agent does not read: a text that is run later, a substitution, another language."""

import re
from collections.abc import Iterator

from nodeagent.evaluate.syntax import Command, Node, Opaque
from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.places import Place
from nodeagent.lint.program import Program
from nodeagent.lint.repository import Repository
from nodeagent.lint.rules.again import HARMLESS_APPEND, LOOKS

_APPENDS = re.compile(
    rb">>\s*\\?[\"']?(/(?:etc|root|home|boot|usr|opt|var/spool|var/lib|var/cron)/[\w./-]+)"
    rb"|\btee\s+-a\s+[\"']?(/[\w./-]+)|\boflag=[\w,]*append"
)
_APPENDS_ANYWHERE = re.compile(_APPENDS.pattern + rb"|>>\s*\\?[\"']?(\$\{?\w+\}?[\w./-]*)")
_SAYS = frozenset({"echo", "printf", "logger"})
_SUBSTITUTION = re.compile(rb"[$<>]\(|`")
_GUARD = re.compile(rb"grep|(?:\[|\btest)\s")


def append_unread(repository: Repository) -> Iterator[Finding]:
    for program in repository.programs:
        known = repository.instrumented.texts.get(program.file, ()) if program.entry else ()
        for place in (*program.places, *(program.substituted if program.entry else ())):
            text, start = _read_otherwise(program, place), place.node.start
            pattern = _APPENDS_ANYWHERE if _reads_a_text(place.node) else _APPENDS
            for found in pattern.finditer(text):
                if any(start + found.start() < at <= start + found.end() for at in known):
                    continue
                target = next((name for name in found.groups() if name), b"a file")
                if not HARMLESS_APPEND.match(target):
                    yield program.finding(
                        "append-in-script",
                        start,
                        f"appends to {shown(target)} in a text of its own"
                        + ", which the agent does not read" * program.entry,
                    )


def _reads_a_text(node: Node) -> bool:
    """Is it a command whose text the shell, or another one, reads?"""
    words = [word.literal for word in node.words[:2]] if isinstance(node, Command) else []
    return words[:1] in (["eval"], ["trap"]) or words[1:] == ["-c"]


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
    for inner in program.script.substitutions if program.entry else ():
        if node.start < inner.start and inner.end <= node.start + len(text):  # its statements are known
            text[inner.start - node.start : inner.end - node.start] = b" " * (inner.end - inner.start)
    guarded = program.guarded(place, LOOKS) or _GUARD.search(text)
    return b"" if guarded else bytes(text)
