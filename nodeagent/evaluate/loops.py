"""Where a shell program waits: the loops in its text."""

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.syntax import Block, Compound, Node, children


def around_or_behind(text: bytes, line: int) -> int | None:
    """The line of the innermost loop without a list that holds this line (from 1), else of the first one behind it."""
    holding: int | None = None
    behind: int | None = None
    stack: list[Block | Node] = [parse(text).block]
    while stack:
        node = stack.pop()
        if isinstance(node, Block):
            stack.extend(item for item, _ in node.items)
            continue
        if isinstance(node, Compound) and _waits(text, node):
            if node.line <= line <= node.line + text.count(b"\n", node.start, node.end):
                holding = max(node.line, holding or 0)
            elif node.line > line:
                behind = min(node.line, behind or node.line)
        stack.extend(children(node))
    return holding or behind


def _waits(text: bytes, node: Compound) -> bool:
    counting = node.kind == "for" and text[node.start : node.end].removeprefix(b"for").lstrip().startswith(b"((")
    return node.kind == "while" or counting
