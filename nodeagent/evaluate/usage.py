"""How a program's functions are called, and where a status is looked at."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.evaluate.redirects import is_bashism, overwrites
from nodeagent.evaluate.syntax import (
    AndOr,
    Block,
    Command,
    Compound,
    Function,
    Node,
    Pipeline,
    Script,
    Word,
    without_comments,
)

_STATUS = re.compile(rb"\$(?:\?|\{\?)")
_BARE_RETURN = re.compile(rb"(?:return|exit)\s*")


@dataclass(slots=True)
class Usage:
    """How a function is called: ``isolated`` in a process of its own or in a way that cannot be followed,
    ``used`` where its status or output decides something."""

    isolated: bool = False
    used: bool = False


def reads_status(script: Script, node: Node) -> bool:
    """Does the statement look at ``$?`` as it finds it, before something in it has given another one?"""
    match node:
        case Compound(kind="if" | "while" | "negation", conditions=(Block(items=((first, _), *_)), *_)):
            return _redirected_by_status(node) or reads_status(script, first)
        case Compound(kind="group" | "subshell", bodies=(Block(items=((first, _), *_)), *_)):
            return _redirected_by_status(node) or reads_status(script, first)
        case AndOr(operands=(first, *_)):
            return reads_status(script, first)
        case Function():
            return False
        case _:
            text = script.whole(node)
            return bool(_STATUS.search(text) or _BARE_RETURN.fullmatch(text.strip()))


def mentions_status(script: Script, node: Node) -> bool:
    """Does it look at ``$?`` at all, in a here-doc too?"""
    return _STATUS.search(script.whole(node)) is not None


def _redirected_by_status(node: Compound) -> bool:
    return any(r.target is not None and _STATUS.search(r.target.text) for r in node.redirects)


def follow(script: Script, names: set[str], runs: Mapping[str, bool]) -> dict[str, Usage]:
    """Follow each call, then spread *isolated* and *used* from callers to what they call.

    Args:
        script: the program.
        names: its functions.
        runs: those that run their arguments, and whether they do so in the shell's own process.
    """
    usage = {name: Usage() for name in names}
    calls: list[tuple[str, str | None]] = []  # (callee, enclosing function)
    accounted: set[int] = set()

    def call(name: Word, inside: str | None, isolated: bool, used: bool) -> None:
        accounted.add(name.start)
        usage[name.literal or ""].isolated |= isolated
        usage[name.literal or ""].used |= used
        calls.append((name.literal or "", inside))

    def visit(node: Node, inside: str | None, isolated: bool, used: bool) -> None:
        if isinstance(node, Command):
            isolated |= is_bashism(node.redirects)
            used |= overwrites(node.redirects) is not None
            if node.name in usage:
                call(node.words[0], inside, isolated, used)
            if node.name is not None and node.name in runs and len(node.words) > 1 and node.words[1].literal in usage:
                call(node.words[1], inside, isolated or not runs[node.name], used)
        elif isinstance(node, Function):
            accounted.add(node.start)
            visit(node.body, node.name, False, False)
        elif isinstance(node, Pipeline):
            for part in node.parts:
                visit(part, inside, True, True)
        elif isinstance(node, AndOr):
            for operand in node.operands:
                visit(operand, inside, isolated, True)
        elif isinstance(node, Compound):
            isolated |= is_bashism(node.redirects)
            used |= overwrites(node.redirects) is not None
            for block in node.conditions:
                visit_block(block, inside, isolated, True, True)
            for block in node.bodies:
                visit_block(block, inside, isolated, used, used)

    def visit_block(block: Block, inside: str | None, isolated: bool, used: bool, after: bool) -> None:
        for index, (node, background) in enumerate(block.items):
            following = block.items[index + 1][0] if index + 1 < len(block.items) else None
            read = reads_status(script, following) if following is not None else after
            visit(node, inside, isolated or background, used or read)

    visit_block(script.block, None, False, False, False)
    _mark_mentioned(script, usage, accounted)
    _spread(usage, calls)
    return usage


def _mark_mentioned(script: Script, usage: dict[str, Usage], accounted: set[int]) -> None:
    """A name that stands anywhere else (a trap, an argument, a substitution) may be called in any way."""
    text = without_comments(script)
    for name, use in usage.items():
        for found in re.finditer(rb"(?<![\w./-])" + re.escape(name.encode()) + rb"(?![\w./-])", text):
            definition = re.match(rb"\s*\(\s*\)", text[found.end() : found.end() + 20])
            keyword = text[max(found.start() - 20, 0) : found.start()].rstrip().endswith(b"function")
            if found.start() not in accounted and not definition and not keyword:
                use.isolated = use.used = True


def _spread(usage: dict[str, Usage], calls: list[tuple[str, str | None]]) -> None:
    changed = True
    while changed:
        changed = False
        for callee, caller in calls:
            if caller is None:
                continue
            before = (usage[callee].isolated, usage[callee].used)
            usage[callee].isolated |= usage[caller].isolated
            usage[callee].used |= usage[caller].used
            changed |= before != (usage[callee].isolated, usage[callee].used)
