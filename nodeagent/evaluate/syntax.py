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
    """``descriptor`` is None when the operator's own default holds (0 for ``<``, 1 for ``>``).

    ``both``: it is bash's ``&>`` or ``&>>``, in a program that bash alone runs; ``operator`` is without the ``&`` then.
    """

    operator: str
    descriptor: int | None
    target: Word | None
    both: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """``end`` is where its own text ends: before the here-docs that begin on its last line. Lines count from 1."""

    start: int
    end: int
    line: int


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

    ``!`` is a compound too (``negation``), whose only condition is what it negates, a command or a pipeline.
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
class HereDoc:
    """``start`` is the place of its operator; its text, with the delimiter's line, is from ``begin`` to ``end``."""

    start: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """``$( )``, ``<( )`` or ``>( )``, in a word or a here-doc; its commands begin at ``start``."""

    start: int
    end: int
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``error_line`` is the first line that the grammar does not understand (then ``block`` is not to be used).

    ``bash``: no other shell runs it.
    """

    text: bytes
    block: Block
    comments: tuple[tuple[int, int], ...] = field(default=())
    heredocs: tuple[HereDoc, ...] = field(default=())
    substitutions: tuple[Substitution, ...] = field(default=())
    error_line: int | None = None
    bash: bool = False

    def slice(self, node: "Node") -> bytes:
        """Its text, without the here-docs that lie behind it."""
        return self.text[node.start : node.end]

    def documents(self, node: "Node") -> bytes:
        """The texts of its here-docs that lie behind it."""
        behind = (h for h in self.heredocs if node.start <= h.start < node.end <= h.begin)
        return b"".join(self.text[h.begin : h.end] for h in behind)

    def whole(self, node: "Node") -> bytes:
        """Its text, with its here-docs."""
        documents = self.documents(node)
        return self.slice(node) + b"\n" + documents if documents else self.slice(node)


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
