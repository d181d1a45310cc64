"""The here-docs of a shell program: where their texts lie.

The text begins behind the line that its operator's command line ends on, and goes to the line that is the delimiter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.evaluate.quoting import NotUnderstoodError, Quoting
from nodeagent.evaluate.syntax import HereDoc

_QUOTED = re.compile(rb"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|\\(.)|([^'\"\\])", re.S)
_EXPANDED = re.compile(rb"[\\$`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A here-doc whose text is still to come. ``start`` is the place of its operator, ``delimiter`` is unquoted."""

    start: int
    delimiter: bytes
    literal: bool  # nothing in the text is expanded
    tabs: bool  # leading ones are taken off


def announced(text: bytes, start: int, word: bytes) -> Announced:
    """Read the operator at ``start`` and the word behind it.

    Raises:
        NotUnderstoodError: the shells take different things for the delimiter.
    """
    parts = list(_QUOTED.finditer(word))
    delimiter = b"".join(part[0] if part[4] else part[1] or part[2] or part[3] or b"" for part in parts)
    if not word or b"$" in word or b"`" in word or b"\n" in word or b"\\" in delimiter:
        raise NotUnderstoodError(start)
    literal = not all(part[4] for part in parts)
    return Announced(start=start, delimiter=delimiter, literal=literal, tabs=text.startswith(b"<<-", start))


def read(text: bytes, at: int, what: Announced, quoting: Quoting, *, nested: bool) -> HereDoc:
    """Read the text of a here-doc, which begins at a line.

    Args:
        text: the program.
        at: where the line begins.
        what: the here-doc.
        quoting: finds the ends of what is expanded in it.
        nested: it is in a substitution, where it cannot end with the program.

    Raises:
        NotUnderstoodError: one shell may end it elsewhere than another.
    """
    before: bytes | None = None  # a line that goes on in this one
    for start, end in _lines(text, at):
        line = text[start:end].removesuffix(b"\n")
        bare = line.lstrip(b"\t") if what.tabs else line
        if before is not None and what.delimiter in {bare, before + bare, before + line}:
            raise NotUnderstoodError(start)
        if bare == what.delimiter:
            _check(text, at, start, what, quoting)
            return HereDoc(start=what.start, begin=at, end=end)
        goes_on = not what.literal and (len(line) - len(line.rstrip(b"\\"))) % 2 == 1
        before = (before or b"") + bare[:-1] if goes_on else None
    if nested:
        raise NotUnderstoodError(what.start)
    _check(text, at, len(text), what, quoting)
    return HereDoc(start=what.start, begin=at, end=len(text))


def _lines(text: bytes, at: int) -> Iterator[tuple[int, int]]:
    while at < len(text):
        end = text.find(b"\n", at) + 1 or len(text)
        yield at, end
        at = end


def _check(text: bytes, at: int, end: int, what: Announced, quoting: Quoting) -> None:
    """Raises:
    NotUnderstoodError: a substitution goes on behind the end, which dash then does not see.
    """
    while not what.literal and (found := _EXPANDED.search(text, at, end)):
        at = quoting.quoted(found.start(), double=True)
        if at > end:
            raise NotUnderstoodError(what.start)
