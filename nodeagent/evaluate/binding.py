"""What binds to what, where tree-sitter's tree says otherwise: pure surgery on statements."""

from collections.abc import Callable
from dataclasses import replace

from nodeagent.evaluate.syntax import AndOr, Block, Command, Compound, Node, Pipeline


def on_last(node: Node, change: Callable[[Command | Compound], Node | None]) -> Node | None:
    """Change the last command of a list, a pipeline or a negation; None where that is no command, or is not changed."""
    match node:
        case AndOr(operands=(*before, last)):
            found = on_last(last, change)
            if found is None:
                return None
            return AndOr(operands=(*before, found), start=node.start, end=found.end, line=node.line)
        case Pipeline(parts=(*before, last)):
            found = on_last(last, change)
            if found is None:
                return None
            return Pipeline(parts=(*before, found), start=node.start, end=found.end, line=node.line)
        case Compound(kind="negation", conditions=(Block(items=((last, _),)),)):
            found = on_last(last, change)
            if found is None:
                return None
            negated = (Block(items=((found, False),)),)
            return replace(node, conditions=negated, end=found.end, whole_end=found.whole_end)
        case Command() | Compound():
            return change(node)
        case _:
            return None


def joined(first: Node, operator: str, rest: Node, whole_end: int) -> Node:
    """``first OPERATOR rest`` as the shell binds them: a pipeline before a list, a list from left to right.

    Args:
        first: a command, a pipeline or a list.
        operator: ``&&``, ``||`` or one of a pipeline.
        rest: what stands behind it, in one piece.
        whole_end: the end of the here-docs that belong to them.
    """
    if operator in {"&&", "||"}:
        return _list((*_operands(first), *_operands(rest)), whole_end)
    *before, left = _operands(first)
    right, *behind = _operands(rest)
    parts = (*_parts(left), *_parts(right))
    pipe = Pipeline(parts=parts, start=left.start, end=right.end, line=left.line, whole_end=whole_end)
    return _list((*before, pipe, *behind), whole_end) if before or behind else pipe


def _list(operands: tuple[Node, ...], whole_end: int) -> AndOr:
    first, *_, last = operands
    return AndOr(operands=operands, start=first.start, end=last.end, line=first.line, whole_end=whole_end)


def _operands(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, AndOr) else (node,)


def _parts(node: Node) -> tuple[Node, ...]:
    return node.parts if isinstance(node, Pipeline) else (node,)
