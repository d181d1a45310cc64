"""Where the shell goes on elsewhere before a statement has come to its end: the verb behind it is not reached."""

import re
from collections.abc import Sequence

from nodeagent.evaluate.syntax import AndOr, Block, Command, Compound, Node, Opaque, Script

LOOPS = frozenset({"for", "while"})
LOOP: tuple[int, ...] = ()
"""Stands for a loop among the texts (the numbers of their steps) that are around a statement, the outermost first."""

_MENTIONED = re.compile(rb"(?<![\w-])(?:return|break|continue|exit|exec)(?![\w-])")


def left(node: Command, around: Sequence[tuple[int, ...]], *, returns: bool) -> tuple[int, ...]:
    """The texts that a command leaves in their middle, the innermost first; not where the shell itself ends.

    Args:
        node: the command.
        around: what is around it, in its function or file.
        returns: there is something to return from.
    """
    name, argument = _leaving(node)
    found: list[int] = []
    loops = _count(argument, around) if name in {"break", "continue"} else len(around) + 1
    if loops is None or not (name in {"break", "continue"} or (name == "return" and returns)):
        return ()
    for one in reversed(around):
        loops -= one == LOOP
        if not loops:
            break
        found += reversed(one)
    return tuple(found)


def loses_track(script: Script, node: Node | Block, loops: int) -> bool:
    """May the shell leave it in a way that cannot be followed? ``loops`` are around it."""
    match node:
        case Block():
            return any(loses_track(script, item, loops) for item, _ in node.items)
        case Command():
            name, argument = _leaving(node)
            return name == "exec" or (name in {"break", "continue"} and _count(argument, [LOOP] * loops) is None)
        case AndOr():
            return any(loses_track(script, operand, loops) for operand in node.operands)
        case Compound(kind="subshell"):
            return False
        case Compound():
            inner = loops + (node.kind in LOOPS)
            return any(loses_track(script, block, inner) for block in (*node.conditions, *node.bodies))
        case Opaque():
            return not node.known and _MENTIONED.search(script.slice(node)) is not None
        case _:  # a pipeline's parts are processes of their own; a definition does nothing
            return False


def _leaving(node: Command) -> tuple[str | None, str | None]:
    """A command's name, and its first argument (empty if it has none, None if only the shell knows it)."""
    words = node.words
    while len(words) > 1 and words[0].literal in {"command", "builtin"}:
        words = words[1:]
    return (words[0].literal if words else None), (words[1].literal if len(words) > 1 else "")


def _count(argument: str | None, around: Sequence[tuple[int, ...]]) -> int | None:
    """How many loops ``break`` ends: all there are where it names more."""
    loops = sum(one == LOOP for one in around)
    if not loops or argument is None or (argument and not (argument.isdecimal() and int(argument))):
        return None
    return min(int(argument or "1"), loops)


def gives_up(node: Node, enders: frozenset[str]) -> bool:
    """``exit 1``, ``{ echo failed; return 1; }``, or a function of that kind: nothing is done instead."""
    if isinstance(node, Command):
        return node.name in {"exit", "return"} or node.name in enders
    if not isinstance(node, Compound) or node.kind != "group":
        return False
    *before, last = (item for item, _ in node.bodies[0].items)
    printing = all(isinstance(n, Command) and n.name in {"echo", "printf", "logger"} for n in before)
    return printing and gives_up(last, enders)
