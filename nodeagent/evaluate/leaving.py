"""May the shell go on elsewhere before a statement has come to its end? Then no verb behind it is reached."""

import re

from nodeagent.evaluate.syntax import AndOr, Block, Command, Compound, Node, Opaque, Script

_LEAVES = frozenset({"exec", "exit", "return"})
_LOOPS = frozenset({"for", "while"})
_MENTIONED = re.compile(rb"(?<![\w-])(?:return|break|continue|exit|exec)(?![\w-])")


def leaves(script: Script, node: Node | Block, loops: int = 0) -> bool:
    """Args: ``loops`` stand around it that belong to the statement: what ends one of them does not leave it."""
    match node:
        case Block():
            return any(leaves(script, item, loops) for item, _ in node.items)
        case Command():
            return _command_leaves(node, loops)
        case AndOr():
            return any(leaves(script, operand, loops) for operand in node.operands)
        case Compound(kind="subshell"):
            return False
        case Compound():
            inner = loops + (node.kind in _LOOPS)
            return any(leaves(script, block, inner) for block in (*node.conditions, *node.bodies))
        case Opaque():
            return not node.known and _MENTIONED.search(script.slice(node)) is not None
        case _:  # a pipeline's parts are processes of their own; a definition does nothing
            return False


def _command_leaves(node: Command, loops: int) -> bool:
    words = node.words
    while len(words) > 1 and words[0].literal in {"command", "builtin"}:
        words = words[1:]
    name = words[0].literal if words else None
    if name in {"break", "continue"}:
        count = words[1].literal if len(words) > 1 else "1"
        return not (count is not None and count.isdecimal() and int(count) <= loops)
    return name in _LEAVES


def gives_up(node: Node, enders: frozenset[str]) -> bool:
    """``exit 1``, ``{ echo failed; return 1; }``, or a function of that kind: nothing is done instead."""
    if isinstance(node, Command):
        return node.name in {"exit", "return"} or node.name in enders
    if not isinstance(node, Compound) or node.kind != "group":
        return False
    *before, last = (item for item, _ in node.bodies[0].items)
    printing = all(isinstance(n, Command) and n.name in {"echo", "printf", "logger"} for n in before)
    return printing and gives_up(last, enders)
