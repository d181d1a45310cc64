"""A shell program as a small tree of statements: the nouns of this stage."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """``literal`` is the word after quote removal if no expansion of any kind takes part in it, else None."""

    start: int
    end: int
    text: bytes
    literal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """``descriptor`` is None when the operator's own default holds (0 for ``<``, 1 for ``>``)."""

    operator: str
    descriptor: int | None
    target: Word | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """``end`` is where the statement's own line part ends: before the body of a here-doc; ``whole_end`` is behind the
    body, or 0 where there is none. Lines count from 1."""

    start: int
    end: int
    line: int
    whole_end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Span):
    """A simple command: ``words[0]`` is its name; empty for redirections alone."""

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()
    assigns: bool = False  # NAME=VALUE stands before the name
    heredoc: bool = False

    @property
    def name(self) -> str | None:
        return self.words[0].literal if self.words else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Span):
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AndOr(Span):
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Statements one after the other; the flag says that ``&`` follows."""

    items: "tuple[tuple[Node, bool], ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound(Span):
    """``{ }``, ``( )``, ``if``, ``while``, ``until``, ``for``, ``case``: conditions are tested, bodies are run.

    ``!`` is a compound too (``negation``), whose only condition is what it negates.
    """

    kind: str
    conditions: tuple[Block, ...] = ()
    bodies: tuple[Block, ...] = ()
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Span):
    name: str
    body: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Span):
    """Assignments, tests, declarations, and all that is not understood: the shell's own business.

    ``known`` is false for what is not understood.
    """

    kind: str
    known: bool = True


Node = Command | Pipeline | AndOr | Compound | Function | Opaque


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``error_line`` is the first line that the grammar does not understand (then ``block`` is not to be used)."""

    text: bytes
    block: Block
    comments: tuple[tuple[int, int], ...] = field(default=())
    error_line: int | None = None

    def slice(self, node: "Node") -> bytes:
        """Its text, without its here-docs."""
        return self.text[node.start : node.end]

    def whole(self, node: "Node") -> bytes:
        """Its text, with its here-docs."""
        return self.text[node.start : max(node.end, node.whole_end)]


def children(node: Node) -> Iterator[Block | Node]:
    if isinstance(node, Pipeline):
        yield from node.parts
    elif isinstance(node, AndOr):
        yield from node.operands
    elif isinstance(node, Compound):
        yield from (*node.conditions, *node.bodies)
    elif isinstance(node, Function):
        yield node.body


def functions_in(block: Block) -> Iterator[Function]:
    stack: list[Block | Node] = [block]
    while stack:
        current = stack.pop()
        if isinstance(current, Block):
            stack.extend(node for node, _ in current.items)
            continue
        if isinstance(current, Function):
            yield current
        stack.extend(children(current))


def without_comments(script: Script) -> bytes:
    text = bytearray(script.text)
    for start, end in script.comments:
        text[start:end] = b" " * (end - start)
    return bytes(text)


def substitutes(word: Word) -> bool:
    """Is the output of a program a part of it?"""
    return b"$(" in word.text or b"`" in word.text or b"<(" in word.text or b">(" in word.text
