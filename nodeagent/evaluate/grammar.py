"""Shell text to statements: a reader of the grammar that dash, bash and busybox ash share, and of what bash adds.

It reads programs that their own shell accepts (``sh -n`` decides that, see :mod:`nodeagent.program`): an empty list or
an ``&`` behind nothing may pass here. What it does not know, or the shells read in different ways, is *not understood*,
and the program runs whole.
"""

import re
from dataclasses import replace

from nodeagent.evaluate.compounds import Compounds
from nodeagent.evaluate.quoting import NotUnderstoodError
from nodeagent.evaluate.syntax import (
    AndOr,
    Block,
    Compound,
    Function,
    HereDoc,
    Node,
    Opaque,
    Pipeline,
    Redirect,
    Script,
    Substitution,
)
from nodeagent.evaluate.tokens import RESERVED

# Of nested constructs, and of what one list joins. Beyond them, text is not understood: nobody wrote it to be read.
_DEPTH_LIMIT = 60
_LENGTH_LIMIT = 500
_COMPOUNDS = frozenset({b"{", b"(", b"((", b"[[", b"if", b"while", b"until", b"for", b"select", b"case"})


def parse(text: bytes, *, bash: bool = False) -> Script:
    """Parse a shell program; never raises for any bytes. ``bash``: no other shell runs it, so ``&>`` redirects."""
    parser = _Parser(text, bash=bash)
    try:
        block = parser.program()
    except NotUnderstoodError as error:
        return Script(text=text, block=Block(), error_line=text.count(b"\n", 0, error.at) + 1, bash=bash)
    except RecursionError:  # nested beyond all measure
        return Script(text=text, block=Block(), error_line=1, bash=bash)
    return Script(
        text=text,
        block=block,
        comments=parser.comments(),
        heredocs=parser.heredocs(),
        substitutions=parser.substitutions(),
        bash=bash,
    )


class _Parser(Compounds):
    """Recursive descent; ``depth`` bounds the recursion on hostile text."""

    def __init__(self, text: bytes, *, bash: bool) -> None:
        super().__init__(text, bash=bash)
        self._depth = 0
        self._substitutions: dict[int, Substitution] = {}  # by their places: some words are read twice

    def program(self) -> Block:
        if (at := self._text.find(b"\0")) >= 0:
            raise NotUnderstoodError(at)
        return self._block(frozenset({b""}))

    def comments(self) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(self._quoting.comments.items()))

    def heredocs(self) -> tuple[HereDoc, ...]:
        return tuple(sorted(self._heredocs.values(), key=lambda heredoc: heredoc.begin))

    def substitutions(self) -> tuple[Substitution, ...]:
        return tuple(found for _, found in sorted(self._substitutions.items()))

    # --- lists ---

    def _substitution(self, at: int) -> int:
        """The commands of ``$(``, ``<(``: see :class:`nodeagent.evaluate.quoting.Quoting`."""
        here = self._aside(at)
        block = self._block(frozenset({b")"}))
        self._take(b")")
        end = self._back(here)
        self._substitutions[at] = Substitution(start=at, end=end, block=block)
        return end

    def _block(self, ends: frozenset[bytes]) -> Block:
        """Statements up to one of these words or operators; ``b""`` is the end of the text."""
        items: list[tuple[Node, bool]] = []
        while True:
            self._newlines()
            if self._next() in ends:
                return Block(items=tuple(items))
            node = self._list()
            following = self._next()
            items.append((node, following == b"&"))
            if following in {b"&", b";"}:
                self._take(following)
            elif following != b"\n" and following not in ends:
                raise NotUnderstoodError(self._at)

    def _list(self) -> Node:
        operands = [self._pipeline()]
        while (operator := self._next()) in {b"&&", b"||"}:
            self._take(operator)
            self._newlines()
            operands.append(self._pipeline())
        self._limit(operands)
        first = operands[0]
        if len(operands) == 1:
            return first
        return AndOr(operands=tuple(operands), start=first.start, end=operands[-1].end, line=first.line)

    def _pipeline(self) -> Node:
        if self._next() == b"!":
            start = self._at
            self._take(b"!")
            inner = self._pipeline()
            return Compound(kind="negation", conditions=(Block(items=((inner, False),)),), **self._span(start))
        parts = [self._command()]
        while (operator := self._next()) in {b"|", b"|&"}:
            self._take(operator)
            self._newlines()
            parts.append(self._command())
        self._limit(parts)
        first = parts[0]
        if len(parts) == 1:
            return first
        return Pipeline(parts=tuple(parts), start=first.start, end=parts[-1].end, line=first.line)

    def _limit(self, nodes: list[Node]) -> None:
        if len(nodes) > _LENGTH_LIMIT:
            raise NotUnderstoodError(nodes[0].start)

    # --- commands ---

    def _command(self) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise NotUnderstoodError(self._at)
        try:
            following = self._next()
            if following in _COMPOUNDS:
                return self._redirected(self._closed_compound(following))
            if following == b"function":
                return self._function_keyword()
            if following == b"coproc":
                return self._coprocess()
            if following in RESERVED:
                raise NotUnderstoodError(self._at)
            start = self._at
            command = self._simple()
            return self._function(start, self._text[start : self._end]) if command is None else command
        finally:
            self._depth -= 1

    def _redirected(self, node: Node) -> Node:
        redirects: list[Redirect] = []
        while (redirect := self._redirect()) is not None:
            redirects.append(redirect)
        if not redirects:
            return node
        if isinstance(node, Compound):
            return replace(node, redirects=tuple(redirects), end=self._end)
        return Opaque(kind="redirect", known=isinstance(node, Opaque) and node.known, **self._span(node.start))

    # --- functions and coprocesses ---

    def _function_keyword(self) -> Node:
        start = self._at
        self._take(b"function")
        name = self._bare_word()
        return self._function(start, name)

    def _function(self, start: int, name: bytes) -> Node:
        """``name``, which has been read, and ``()`` before the body; bash needs no ``()`` behind ``function``."""
        if not name or re.search(rb"[\\'\"$`=*?\[]", name):
            raise NotUnderstoodError(start)
        if self._operator() == b"(":
            self._take(b"(")
            self._take(b")")
        self._newlines()
        body = self._command()
        return Function(name=name.decode(errors="replace"), body=body, **self._span(start))

    def _coprocess(self) -> Opaque:
        start = self._at
        self._take(b"coproc")
        if self._next() not in _COMPOUNDS:
            name = self._at
            self._bare_word()
            if self._next() not in _COMPOUNDS:
                self._go(name)
        self._command()
        return Opaque(kind="coprocess", known=False, **self._span(start))
