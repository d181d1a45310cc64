"""A place that moves over a shell program: operators, reserved words, ends of lines with the here-docs behind them."""

import bisect
import re
from abc import ABC, abstractmethod
from typing import TypedDict

from nodeagent.evaluate import heredocs
from nodeagent.evaluate.quoting import NotUnderstoodError, Quoting
from nodeagent.evaluate.syntax import HereDoc

WORD = b"a word"  # what is next when no operator and no reserved word is
RESERVED = frozenset(
    b"if then else elif fi do done case esac in for select while until function coproc { } ! [[".split()
)
_OPERATOR = re.compile(rb"&>>|&>|&&|&|\|\||\|&|\||;;&|;;|;&|;|\(|\)|<<<|<<-|<<|<&|<>|<|>>|>&|>\||>|\n")
_RESERVED = re.compile(rb"(?:[a-z]+|[{}!]|\[\[)(?=[ \t\n;&|<>()]|\\\n|\Z)")
_OPENING = RESERVED - {b"fi", b"done", b"esac", b"}", b"in"}  # a command may stand behind them
_SPLIT = re.compile(rb"\\\n[|&;<>(]")  # an operator may go on behind it


class SpanFields(TypedDict):
    start: int
    end: int
    line: int


class Tokens(ABC):
    """``_at`` is the place, ``_end`` the end of the last token."""

    def __init__(self, text: bytes, *, bash: bool) -> None:
        self._text = text
        self._bash = bash
        self._at = 0
        self._end = 0
        self._nested = 0  # substitutions around the place
        self._announced: list[heredocs.Announced] = []
        self._lines = [match.start() for match in re.finditer(rb"\n", text)]
        self._quoting = Quoting(text, self._substitution)
        self._heredocs: dict[int, HereDoc] = {}

    @abstractmethod
    def _substitution(self, at: int) -> int:
        """The end of ``$(``, ``<(`` or ``>(``, whose commands begin at a place."""

    def _next(self) -> bytes:
        """What is next where a command may begin or end: an operator, a reserved word, ``WORD``; empty at the end."""
        if operator := self._operator():
            return b"((" if self._text.startswith(b"((", self._at) else operator
        if self._at == len(self._text):
            return b""
        found = _RESERVED.match(self._text, self._at)
        if found is None or found[0] not in RESERVED:
            return WORD
        if self._text.startswith(b"\\\n", found.end()):
            raise NotUnderstoodError(self._at)
        return found[0]

    def _operator(self) -> bytes:
        """The operator that is next, if one is."""
        self._at = self._quoting.blanks(self._at)
        found = _OPERATOR.match(self._text, self._at)
        if found is None or (found[0] in {b"<", b">"} and self._text.startswith(b"(", found.end())):
            return b""
        if _SPLIT.match(self._text, found.end()):
            raise NotUnderstoodError(self._at)
        return found[0]

    def _take(self, token: bytes) -> None:
        """Go behind an operator or a reserved word.

        Raises:
            NotUnderstoodError: it is not the next one, or nothing could be put between it and the command behind it
                (``!<a b``; and ``!(a)`` is a pattern where bash's extglob is on).
        """
        found = self._next()
        if found != token and not (found == b"((" and token == b"("):
            raise NotUnderstoodError(self._at)
        self._go(self._at + len(token))
        if token in _OPENING and self._text[self._at : self._at + 1] in {b"<", b">", b"("}:
            raise NotUnderstoodError(self._at)

    def _newlines(self) -> None:
        while self._operator() == b"\n":
            self._at += 1
            waiting, self._announced = self._announced, []
            for what in waiting:
                found = heredocs.read(self._text, self._at, what, self._quoting, nested=self._nested > 0)
                self._heredocs[found.start] = found
                self._at = found.end

    def _bare_word(self) -> bytes:
        """Go behind a word, whatever is in it; empty where there is none.

        Raises:
            NotUnderstoodError: it may be read in different ways.
        """
        self._at = self._quoting.blanks(self._at)
        start, end = self._at, self._quoting.word(self._at)
        self._go_word(start, end)
        return self._text[start:end]

    def _go_word(self, start: int, end: int) -> None:
        if self._announced and b"\n" in self._text[start:end]:
            raise NotUnderstoodError(start)
        if end > start:
            self._go(end)

    def _go(self, end: int) -> None:
        self._at = self._end = end

    def _span(self, start: int) -> SpanFields:
        return SpanFields(start=start, end=self._end, line=bisect.bisect_left(self._lines, start) + 1)

    def _aside(self, at: int) -> tuple[int, int, list[heredocs.Announced]]:
        """Go to the commands of a substitution; returns what :meth:`_back` wants."""
        here = (self._at, self._end, self._announced)
        self._at, self._end, self._announced = at, at, []
        self._nested += 1
        return here

    def _back(self, here: tuple[int, int, list[heredocs.Announced]]) -> int:
        """Come back; returns where the substitution ends.

        Raises:
            NotUnderstoodError: a here-doc in it has no text.
        """
        if self._announced:
            raise NotUnderstoodError(self._at)
        end = self._at
        self._at, self._end, self._announced = here
        self._nested -= 1
        return end
