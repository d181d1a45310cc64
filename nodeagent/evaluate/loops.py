"""Where a shell program waits: the loops in its text."""

from nodeagent.evaluate.tree import tree

_LOOPS = frozenset({"while_statement", "c_style_for_statement"})  # until, too, is the former


def around_or_behind(text: bytes, line: int) -> int | None:
    """The line of the innermost loop without a list that holds this line (from 1), else of the first one behind it."""
    holding: int | None = None
    behind: int | None = None
    stack = [tree(text)]
    while stack:
        node = stack.pop()
        first, last = node.start_point[0] + 1, node.end_point[0] + 1
        if node.type in _LOOPS:
            if first <= line <= last:
                holding = max(first, holding or 0)
            elif first > line:
                behind = min(first, behind or first)
        stack.extend(node.children)
    return holding or behind
