"""The one place that talks to tree-sitter: its tree of a text, and where in the text a node's own part lies."""

from collections.abc import Iterator

import tree_sitter  # noqa: TID251 - the door
import tree_sitter_bash  # noqa: TID251 - the door

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())

Tree = tree_sitter.Node


def tree(text: bytes) -> Tree:
    return tree_sitter.Parser(_LANGUAGE).parse(text).root_node


def first_error(root: Tree) -> int:
    node = root
    while not (node.is_error or node.is_missing):
        node = next(child for child in node.children if child.has_error or child.is_missing)
    return int(node.start_point[0]) + 1


def comments(root: Tree) -> Iterator[tuple[int, int]]:
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "comment":
            yield node.start_byte, node.end_byte
        stack.extend(node.children)


def below_heredoc(redirect: Tree) -> tuple[str, Tree] | None:
    """What follows a here-doc's operator on its line (``| tee x``, ``&& y``) and hangs below it: operator and node."""
    for child in redirect.children:
        if child.type == "pipeline":
            return child.children[0].type, child.children[-1]
        if child.type in {"&&", "||"} and child.next_sibling is not None:
            return child.type, child.next_sibling
    return None


def head_of_heredoc(redirect: Tree) -> int:
    """Where the part of a here-doc's line ends that belongs to its own command."""
    own = [c for c in redirect.children if c.type not in {"heredoc_body", "heredoc_end", "pipeline", "&&", "||"}]
    right = redirect.child_by_field_name("right")
    return max(int(c.end_byte) for c in own if right is None or c.start_byte < right.start_byte)


def head_end(node: Tree) -> int:
    """The end of the statement's last token that is no here-doc body, terminator or comment."""
    end = int(node.start_byte)
    stack = [node]
    while stack:
        current = stack.pop()
        if current.type in {"heredoc_body", "heredoc_end", "comment"}:
            continue
        if current.child_count == 0:
            end = max(end, int(current.end_byte))
        elif any(c.type == "heredoc_body" for c in current.children) or current is node or holds_heredoc(current):
            stack.extend(current.children)
        else:
            end = max(end, int(current.end_byte))
    return end


def holds_heredoc(node: Tree) -> bool:
    stack = list(node.children)
    while stack:
        current = stack.pop()
        if current.type in {"heredoc_body", "heredoc_end"}:
            return True
        stack.extend(current.children)
    return False
