"""Where a word of a shell program ends: quotes, expansions, substitutions, comments.

The rules are those that dash, bash and busybox ash have in common. Where they would end a construct at different
places, or where it is not known whether they do, the text is not understood.
"""

import re
from collections.abc import Callable

_BLANKS = re.compile(rb"(?:[ \t]|\\\n)*")
_COMMENT = re.compile(rb"#[^\n]*")
_PLAIN = re.compile(rb"[^\\'\"$`|&;<>() \t\n]*")
_IN_GROUP = re.compile(rb"[^\\'\"$`()]*")
_IN_DOUBLE = re.compile(rb"[^\\\"$`]*")
_IN_BRACES = re.compile(rb"[^\\'\"$`}]*")
_TO_BACKQUOTE = re.compile(rb"(?:[^`\\]|\\.)*`", re.S)
_TO_QUOTE = re.compile(rb"[^']*'")
_TO_ANSI_QUOTE = re.compile(rb"(?:[^'\\]|\\.)*'", re.S)
_SPECIAL_PARAMETERS = b"@*#?$!-0123456789"
_ARRAY = re.compile(rb"[A-Za-z_]\w*(?:\[[^]]*\])?\+?=")
_COMMENT_OR_HEREDOC = re.compile(rb"[ \t\n]#|<<-?[ \t]*[\"'A-Za-z_\\]")


class NotUnderstoodError(Exception):
    """``at`` is the place in the text."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class Quoting:
    """Finds ends in one text; ``comments`` are those that were met, as start and end."""

    def __init__(self, text: bytes, substitution: Callable[[int], int]) -> None:
        """``substitution`` tells where the commands end that begin at a place, behind their ``)``."""
        self._text = text
        self._substitution = substitution
        self.comments: dict[int, int] = {}
        self._parameters: dict[tuple[int, bool], int] = {}  # ends that are known: each is looked for twice

    def blanks(self, at: int) -> int:
        """The end of blanks, of line continuations, and of the comment behind them."""
        at = self._end(_BLANKS, at)
        if self._text[at : at + 1] == b"#":
            start, at = at, self._end(_COMMENT, at)
            self.comments[start] = at
        return at

    def word(self, at: int, *, regex: bool = False) -> int:
        """The end of the word that begins here; the same place if none does.

        Args:
            at: the place.
            regex: it is the right side of ``=~``, where ``(`` and ``|`` are parts of it.

        Raises:
            NotUnderstoodError: it has no end that all shells agree on.
        """
        start = at
        while True:
            at = self._end(_PLAIN, at)
            char = self._text[at : at + 1]
            if char in {b"<", b">"} and self._text[at + 1 : at + 2] == b"(":
                at = self._substitution(at + 2)
            elif char == b"(" and at > start and _ARRAY.fullmatch(self._text, start, at):
                at = self._array(at)
            elif char == b"(" and (regex or self._text[max(start, at - 1) : at] in {b"?", b"*", b"+", b"@", b"!"}):
                at = self._group(at)
            elif char == b"|" and regex:
                at += 1
            elif not char or char in b"|&;<>() \t\n":
                return at
            else:
                at = self.quoted(at)

    def quoted(self, at: int, *, double: bool = False) -> int:
        """The end of what begins with a backslash, a quote, a backquote or ``$``; ``double``: between double quotes."""
        match self._text[at : at + 1]:
            case b"\\":
                if at + 1 == len(self._text):  # it would quote what is put behind the program's last command
                    raise NotUnderstoodError(at)
                return at + 2
            case b"'":
                return self._closed(_TO_QUOTE, at + 1)
            case b'"':
                return self._double(at + 1)
            case b"`":
                return self._closed(_TO_BACKQUOTE, at + 1)
            case _:
                return self._dollar(at, double)

    def arithmetic(self, at: int, *, command: bool = False) -> int | None:
        """The end of what begins with ``((``; None if it does not end with ``))``, and so may be two subshells.

        Args:
            at: the place.
            command: ``$`` does not stand before it; then it is two subshells in dash, always.

        Raises:
            NotUnderstoodError: it has no end, or what is in it would be a comment, a here-doc or a quote of a subshell,
                or bash misreads it.
        """
        start, depth = at, 0
        at += 2
        while True:
            end = self._end(_IN_GROUP, at)
            if command and _COMMENT_OR_HEREDOC.search(self._text, at - 1, end + 1):
                raise NotUnderstoodError(start)
            at = end
            match self._text[at : at + 1]:
                case b"(":
                    depth += 1
                    at += 1
                case b")" if depth:
                    depth -= 1
                    at += 1
                case b")" if self._text[at + 1 : at + 2] == b")":
                    return at + 2
                case b")" if self._text[at + 1 : at + 2] != b"\n":  # bash 5.2 loses two characters behind ``)\n``
                    return None
                case b")" | b"" | b"'":
                    raise NotUnderstoodError(start)
                case _:
                    at = self.quoted(at, double=True)

    def _dollar(self, at: int, double: bool) -> int:
        following = self._text[at + 1 : at + 2]
        if following == b"(":
            if self._text[at + 2 : at + 3] != b"(":
                return self._substitution(at + 2)
            end = self.arithmetic(at + 1)
            if end is None:  # bash takes it for a subshell in a substitution
                raise NotUnderstoodError(at)
            return end
        if following == b"{":
            return self._parameter(at + 2, double)
        if following == b"'" and not double:
            end = self._closed(_TO_ANSI_QUOTE, at + 2)
            if end != self._closed(_TO_QUOTE, at + 2):  # dash knows no \' there
                raise NotUnderstoodError(at)
            return end
        if following == b"[" or self._text.startswith(b"\\\n", at + 1):  # old arithmetic of bash; a split operator
            raise NotUnderstoodError(at)
        return at + (2 if following and following in _SPECIAL_PARAMETERS else 1)

    def _double(self, at: int) -> int:
        start = at
        while True:
            at = self._end(_IN_DOUBLE, at)
            char = self._text[at : at + 1]
            if not char:
                raise NotUnderstoodError(start)
            if char == b'"':
                return at + 1
            at = self.quoted(at, double=True)

    def _parameter(self, at: int, double: bool) -> int:
        if self._text[at : at + 1] in {b" ", b"\t", b"\n", b"|"}:  # ${ commands; } of bash 5.3
            raise NotUnderstoodError(at)
        if (at, double) in self._parameters:
            return self._parameters[at, double]
        end = self._braced(at, double=double, single=not double)
        # Between double quotes a single one is a quote in some shells, after some operators.
        if double and b"'" in self._text[at:end] and self._braced(at, double=double, single=True) != end:
            raise NotUnderstoodError(at)
        self._parameters[at, double] = end
        return end

    def _braced(self, at: int, *, double: bool, single: bool) -> int:
        start = at
        while True:
            at = self._end(_IN_BRACES, at)
            match self._text[at : at + 1]:
                case b"":
                    raise NotUnderstoodError(start)
                case b"}":
                    return at + 1
                case b"'" if not single:
                    at += 1
                case _:
                    at = self.quoted(at, double=double)

    def _group(self, at: int) -> int:
        """Of a pattern: ``@(a|b)``."""
        start = at
        at += 1
        while True:
            at = self._end(_IN_GROUP, at)
            match self._text[at : at + 1]:
                case b"":
                    raise NotUnderstoodError(start)
                case b"(":
                    at = self._group(at)
                case b")":
                    return at + 1
                case _:
                    at = self.quoted(at)

    def _array(self, at: int) -> int:
        """``(a b c)`` behind ``NAME=``, on as many lines as it takes."""
        start = at
        at += 1
        while True:
            at = self.blanks(at)
            char = self._text[at : at + 1]
            if char == b")":
                return at + 1
            end = at + 1 if char == b"\n" else self.word(at)
            if end == at:
                raise NotUnderstoodError(start)
            at = end

    def _closed(self, pattern: "re.Pattern[bytes]", at: int) -> int:
        found = pattern.match(self._text, at)
        if found is None:
            raise NotUnderstoodError(at)
        return found.end()

    def _end(self, pattern: "re.Pattern[bytes]", at: int) -> int:
        found = pattern.match(self._text, at)
        assert found is not None, "the pattern matches nothing, too"
        return found.end()
