"""Each statement of a program with what stands around it: conditions, subshells, functions, pipelines."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nodeagent.evaluate.syntax import AndOr, Block, Command, Compound, Function, Node, Opaque, Pipeline, Script

_DONE = re.compile(rb"(?:exit|return)(?:[ \t]+0)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A statement and its surroundings.

    ``guards`` are the texts of the conditions under which it is reached, ``fallback`` what stands behind it in its
    list (``|| true``). ``scope`` numbers the subshells, pipeline parts and functions around it, outermost first.
    """

    node: Node
    guards: tuple[bytes, ...] = ()
    fallback: bytes = b""
    function: str = ""
    scope: tuple[int, ...] = ()
    around: tuple[Node, ...] = ()
    tested: bool = False
    piped: bool = False
    background: bool = False
    conditional: bool = False


def walk(script: Script) -> Iterator[Place]:
    """All statements in source order; the depth is bounded by the grammar's own limit."""
    text = script.text
    stack: list[Place] = []

    def push(places: Sequence[Place]) -> None:
        stack.extend(reversed(places))

    push(_items(text, script.block, Place(node=Opaque(kind="", start=0, end=0, line=1))))
    while stack:
        place = stack.pop()
        yield place
        push(_children(text, place))


def _children(text: bytes, place: Place) -> list[Place]:
    node = place.node
    inner = replace(place, around=(*place.around, node), fallback=b"")
    match node:
        case AndOr():
            return [
                replace(
                    inner,
                    node=operand,
                    guards=(*place.guards, *(_text(text, o) for o in node.operands[:index])),
                    fallback=text[operand.end : node.end],
                    tested=place.tested or index + 1 < len(node.operands),
                    conditional=place.conditional or index > 0,
                )
                for index, operand in enumerate(node.operands)
            ]
        case Pipeline():
            return [replace(inner, node=p, piped=True, scope=(*place.scope, p.start)) for p in node.parts]
        case Function():
            within = Place(node=node.body, function=node.name, scope=(node.start,), around=inner.around)
            return [within]
        case Compound():
            return _compound(text, inner, node)
        case _:
            return []


def _compound(text: bytes, inner: Place, node: Compound) -> list[Place]:
    condition = b"\n".join(_block_text(text, block) for block in node.conditions)
    if node.kind == "subshell":
        inner = replace(inner, scope=(*inner.scope, node.start))
    places = [
        place for block in node.conditions for place in _items(text, block, replace(inner, tested=True, guards=()))
    ]
    if node.kind == "if":
        inner = replace(inner, guards=(*inner.guards, condition), conditional=True)
    elif node.kind == "case":
        inner = replace(inner, guards=(*inner.guards, text[node.start : node.end]), conditional=True)
    for block in node.bodies:
        places += _items(text, block, inner)
    return sorted(places, key=lambda place: place.node.start)


def _items(text: bytes, block: Block, around: Place) -> list[Place]:
    """The statements of a block; what stands behind ``test && exit 0`` is guarded by it."""
    guards = around.guards
    places = []
    for node, background in block.items:
        behind = around.background or background
        places.append(replace(around, node=node, guards=guards, background=behind))
        if _leaves(text, node):
            guards = (*guards, _text(text, node))
    return places


def _leaves(text: bytes, node: Node) -> bool:
    """``CONDITION && exit`` or ``if CONDITION; then ... exit 0; fi``."""
    if isinstance(node, AndOr):
        return _ends(text, node.operands[-1])
    if isinstance(node, Compound) and node.kind == "if" and node.bodies and node.bodies[0].items:
        return _ends(text, node.bodies[0].items[-1][0])
    return False


def _ends(text: bytes, node: Node) -> bool:
    if isinstance(node, Compound) and node.kind == "group" and node.bodies[0].items:
        node = node.bodies[0].items[-1][0]
    return isinstance(node, Command) and bool(_DONE.fullmatch(_text(text, node).strip()))


def _text(text: bytes, node: Node) -> bytes:
    return text[node.start : node.end]


def _block_text(text: bytes, block: Block) -> bytes:
    if not block.items:
        return b""
    return text[block.items[0][0].start : block.items[-1][0].end]
