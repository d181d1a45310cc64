"""Simple commands, redirections and ``[[ ... ]]``: what is made of words, without commands in it."""

import re

from nodeagent.evaluate import heredocs
from nodeagent.evaluate.quoting import NotUnderstoodError
from nodeagent.evaluate.syntax import Command, Node, Opaque, Redirect, Word
from nodeagent.evaluate.tokens import RESERVED, Tokens

_PLAIN = re.compile(rb"[\w./:=,+@%^-]+")
_NAME = re.compile(rb"[A-Za-z_]\w*")
_REDIRECT = re.compile(
    rb"(?P<both>&>>|&>)|(?P<descriptor>\d+|\{\w+\})?(?P<operator><<<|<<-|<<|<&|<>|<(?!\()|>>|>&|>\||>(?!\())"
)
_ASSIGNMENT = re.compile(rb"[A-Za-z_]\w*(?P<bash>\[.*\])?(?P<more>\+?)=(?P<array>\(?)", re.S)
_OPEN_SUBSCRIPT = re.compile(rb"[A-Za-z_]\w*\[[^]]*")  # dash ends the word where bash goes on to the bracket
_SPLIT = re.compile(rb"[^\\'\"$`]*\\\n")  # a name, a number or a reserved word may go on behind it
_IN_TEST = frozenset({b"&&", b"||", b"(", b")", b"<", b">", b"\n"})
_KINDS = {b"[": "test_command", b"unset": "unset_command"} | dict.fromkeys(
    (b"declare", b"export", b"local", b"readonly", b"typeset"), "declaration_command"
)
_BASH_DESCRIPTORS = 10  # from here on dash takes the number for an argument


class Words(Tokens):
    """Adds the parts of a command."""

    def _word(self) -> Word | None:
        if self._operator():
            return None
        start = self._at
        text = self._bare_word()
        if _SPLIT.match(text):
            raise NotUnderstoodError(start)
        return Word(start=start, end=self._end, text=text, literal=_literal(text)) if text else None

    def _redirect(self) -> Redirect | None:
        """A redirection, if one is next. A ``{name}`` in front of it counts as a number."""
        self._operator()
        start, found = self._at, _REDIRECT.match(self._text, self._at)
        if found is None:
            return None
        self._go(found.end())
        number, operator = found["descriptor"] or b"", found["both"] or found["operator"]
        descriptor = (int(number) if number.isdigit() else _BASH_DESCRIPTORS) if number else None
        target = self._word()
        if target is None:
            raise NotUnderstoodError(start)
        if operator not in {b"<<", b"<<-"}:
            both = self._bash and operator in {b"&>", b"&>>"}
            name = operator.decode().removeprefix("&" * both)
            return Redirect(operator=name, descriptor=descriptor, target=target, both=both)
        at = found.start("operator")
        self._announced.append(heredocs.announced(self._text, at, target.text))
        return Redirect(operator="<<", descriptor=descriptor, target=None)

    def _simple(self) -> Node | None:
        """A simple command; None if only a name was read, and ``(`` follows: it is a function's."""
        start = self._at
        assignments: list[Word] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            if (redirect := self._redirect()) is not None:
                redirects.append(redirect)
            elif (word := self._word()) is None:
                break
            elif not words and _ASSIGNMENT.match(word.text):
                assignments.append(word)
            elif not words and _OPEN_SUBSCRIPT.fullmatch(word.text):
                raise NotUnderstoodError(start)
            else:
                words.append(word)
        if self._operator() == b"(":
            if len(words) == 1 and not assignments and not redirects:
                return None
            raise NotUnderstoodError(self._at)
        return self._command_of(start, assignments, words, redirects)

    def _command_of(
        self, start: int, assignments: list[Word], words: list[Word], redirects: list[Redirect]
    ) -> Command | Opaque:
        if not (words or assignments or redirects):
            raise NotUnderstoodError(start)
        if not words:
            known = bool(assignments)
            return Opaque(kind="redirect" if redirects else "variable_assignment", known=known, **self._span(start))
        found = [_ASSIGNMENT.match(word.text) for word in assignments]
        if any(match is not None and (match["bash"] or match["more"] or match["array"]) for match in found):
            raise NotUnderstoodError(start)  # dash takes it for the command
        name = words[0].text
        if name == b"time" and len(words) > 1 and words[1].text in RESERVED:
            raise NotUnderstoodError(start)  # bash times a compound, or a pipeline with "!"
        if name in _KINDS and (name == b"[" or not assignments):
            return Opaque(kind="redirect" if redirects else _KINDS[name], **self._span(start))
        if any((redirect.descriptor or 0) >= _BASH_DESCRIPTORS for redirect in redirects):
            return Opaque(kind="redirect", known=False, **self._span(start))
        return Command(
            words=tuple(words),
            redirects=tuple(redirects),
            assigns=bool(assignments),
            heredoc=any(redirect.operator == "<<" for redirect in redirects),
            **self._span(start),
        )

    def _test(self) -> None:
        """Go behind ``[[ ... ]]``."""
        self._take(b"[[")
        while True:
            operator = self._operator()
            if operator == b"\n":
                self._newlines()
            elif operator in _IN_TEST:
                self._go(self._at + len(operator))
            elif (word := self._bare_word()) == b"]]":
                return
            elif not word:
                raise NotUnderstoodError(self._at)
            elif word == b"=~":
                self._at = self._quoting.blanks(self._at)
                self._go_word(self._at, self._quoting.word(self._at, regex=True))


def is_name(text: bytes) -> bool:
    return _NAME.fullmatch(text) is not None


def _literal(text: bytes) -> str | None:
    bare = text
    if len(text) >= 2 and text[:1] == text[-1:] and text[:1] in (b"'", b'"'):
        bare = text[1:-1]
    return bare.decode() if _PLAIN.fullmatch(bare) and bare.isascii() else None
