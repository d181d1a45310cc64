"""Compounds: ``{ }``, ``( )``, ``if``, ``while``, ``for`` and ``case``, and the lists between their reserved words."""

from abc import abstractmethod

from nodeagent.evaluate.quoting import NotUnderstoodError
from nodeagent.evaluate.simple import Words, is_name
from nodeagent.evaluate.syntax import Block, Compound, Node, Opaque

_ITEM_ENDS = frozenset({b";;", b";&", b";;&", b"esac"})


class Compounds(Words):
    """Adds them to the parts of a command."""

    @abstractmethod
    def _block(self, ends: frozenset[bytes]) -> Block:
        """Statements up to one of these words or operators; ``b""`` is the end of the text."""

    def _closed_compound(self, opening: bytes) -> Node:
        """A compound; one without an end is named by where it begins."""
        start = self._at
        try:
            return self._compound(opening)
        except NotUnderstoodError as error:
            if error.at < len(self._text):
                raise
            raise NotUnderstoodError(start) from error

    def _compound(self, opening: bytes) -> Node:
        start = self._at
        match opening:
            case b"{":
                return self._enclosed("group", b"{", b"}")
            case b"(":
                return self._enclosed("subshell", b"(", b")")
            case b"((":
                if (end := self._quoting.arithmetic(start, command=True)) is None:
                    return self._enclosed("subshell", b"(", b")")
                self._go(end)
                return Opaque(kind="arithmetic", **self._span(start))
            case b"[[":
                self._test()
                return Opaque(kind="test_command", **self._span(start))
            case b"if":
                return self._if()
            case b"while" | b"until":
                self._take(opening)
                condition = self._block(frozenset({b"do"}))
                body = self._body()
                return Compound(kind="while", conditions=(condition,), bodies=(body,), **self._span(start))
            case b"case":
                return self._case()
            case _:
                return self._for()

    def _enclosed(self, kind: str, opening: bytes, closing: bytes) -> Compound:
        start = self._at
        self._take(opening)
        body = self._block(frozenset({closing}))
        self._take(closing)
        return Compound(kind=kind, bodies=(body,), **self._span(start))

    def _if(self) -> Compound:
        start = self._at
        conditions: list[Block] = []
        bodies: list[Block] = []
        clause = b"if"
        while clause in {b"if", b"elif"}:
            self._take(clause)
            conditions.append(self._block(frozenset({b"then"})))
            self._take(b"then")
            bodies.append(self._block(frozenset({b"elif", b"else", b"fi"})))
            clause = self._next()
        if clause == b"else":
            self._take(b"else")
            bodies.append(self._block(frozenset({b"fi"})))
        self._take(b"fi")
        return Compound(kind="if", conditions=tuple(conditions), bodies=tuple(bodies), **self._span(start))

    def _for(self) -> Compound:
        start = self._at
        self._take(self._next())
        if self._next() == b"((":
            end = self._quoting.arithmetic(self._at, command=True)
            if end is None:
                raise NotUnderstoodError(start)
            self._go(end)
        else:
            if not is_name(self._bare_word()):
                raise NotUnderstoodError(start)
            self._newlines()
            if self._next() == b"in":
                self._take(b"in")
                while self._bare_word():
                    pass
        if self._next() == b";":
            self._take(b";")
        self._newlines()
        bracket = self._next() == b"{"
        body = self._enclosed("group", b"{", b"}").bodies[0] if bracket else self._body()
        return Compound(kind="for", bodies=(body,), **self._span(start))

    def _body(self) -> Block:
        self._take(b"do")
        body = self._block(frozenset({b"done"}))
        self._take(b"done")
        return body

    def _case(self) -> Compound:
        start = self._at
        self._take(b"case")
        if not self._bare_word():
            raise NotUnderstoodError(start)
        self._newlines()
        self._take(b"in")
        bodies: list[Block] = []
        while True:
            self._newlines()
            if self._next() == b"esac":
                break
            self._patterns()
            bodies.append(self._block(_ITEM_ENDS))
            if (ending := self._next()) != b"esac":
                self._take(ending)
        self._take(b"esac")
        return Compound(kind="case", bodies=tuple(bodies), **self._span(start))

    def _patterns(self) -> None:
        if self._operator() == b"(":
            self._take(b"(")
        while True:
            if self._bare_word() in {b"", b"}"}:  # which ends bash's group even as a pattern
                raise NotUnderstoodError(self._at)
            if self._operator() != b"|":
                break
            self._take(b"|")
        self._take(b")")
