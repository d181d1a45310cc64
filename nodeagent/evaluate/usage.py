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
    Opaque,
    Pipeline,
    Script,
    without_comments,
)

Dots = Mapping[tuple[str, int], tuple[str, ...]]
"""Which files a ``.`` may mean, by its own file and its place."""

_STATUS = re.compile(rb"\$(?:\?|\{\?)")
ENDS = frozenset({"EXIT", "0"})
"""What ``trap`` calls the shell's end."""
_BARE_RETURN = re.compile(rb"(?:return|exit)\s*")


@dataclass(slots=True)
class Usage:
    """How a function is called: ``isolated`` in a process of its own or in a way that cannot be followed,
    ``used`` where its status or output decides something; ``interrupts``: by a signal, whatever the shell does."""

    isolated: bool = False
    used: bool = False
    interrupts: bool = False


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


def follow(files: Mapping[str, Script], names: set[str], runs: Mapping[str, bool], dots: Dots) -> dict[str, Usage]:
    """Follow each call, then spread *isolated* and *used* from callers to what they call.

    Args:
        files: the program, and what it sources, by name.
        names: their functions.
        runs: those that run their arguments, and whether they do so in the shell's own process.
        dots: which files a ``.`` may mean; the file is then called as a function is.
    """
    walk = _Walk(names | {_body_of(file) for file in files}, runs)
    for number, (file, script) in enumerate(files.items()):
        walk.accounted.clear()
        walk.file(script, _body_of(file) if number else None, {at: d for (f, at), d in dots.items() if f == file})
        _mark_mentioned(script, {name: walk.usage[name] for name in names}, walk.accounted)
    _spread(walk.usage, walk.calls)
    return {name: walk.usage[name] for name in names}


def _body_of(file: str) -> str:
    """A name that no function can have."""
    return f"\0{file}"


class _Walk:
    """``calls`` are (callee, enclosing function); ``accounted`` the places of names that stand for such a call."""

    def __init__(self, names: set[str], runs: Mapping[str, bool]) -> None:
        self.usage = {name: Usage() for name in names}
        self.calls: list[tuple[str, str | None]] = []
        self.accounted: set[int] = set()
        self._runs = runs

    def file(self, script: Script, inside: str | None, dots: Mapping[int, tuple[str, ...]]) -> None:
        self._script = script
        self._dots = dots
        self._block(script.block, inside, False, False, False)

    def _call(self, name: str, inside: str | None, isolated: bool, used: bool) -> None:
        self.usage[name].isolated |= isolated
        self.usage[name].used |= used
        self.calls.append((name, inside))

    def _command(self, node: Command, inside: str | None, isolated: bool, used: bool) -> None:
        isolated |= is_bashism(node.redirects)
        used |= overwrites(node.redirects) is not None
        if node.name is None:
            return
        if node.name == "trap":
            self._trap(node)
        if node.name in self.usage:
            self.accounted.add(node.words[0].start)
            self._call(node.name, inside, isolated, used)
        for file in self._dots.get(node.start, ()):
            self._call(_body_of(file), inside, isolated, used)
        argument = node.words[1].literal if len(node.words) > 1 else None
        if node.name in self._runs and argument is not None and argument in self.usage:
            self.accounted.add(node.words[1].start)
            self._call(argument, inside, isolated or not self._runs[node.name], used)

    def _trap(self, node: Command) -> None:
        """What a signal calls, which may come in the middle of a verb."""
        if len(node.words) > 2 and not ENDS.issuperset(word.literal or "" for word in node.words[2:]):
            action = node.words[1].text
            for name, usage in self.usage.items():
                usage.interrupts |= b"$" in action or re.search(_named(name), action) is not None

    def _node(self, node: Node, inside: str | None, isolated: bool, used: bool) -> None:
        match node:
            case Command():
                self._command(node, inside, isolated, used)
            case Function():
                self.accounted.add(node.start)
                self._node(node.body, node.name, False, False)
            case Pipeline():
                for part in node.parts:
                    self._node(part, inside, True, True)
            case AndOr():
                for operand in node.operands:
                    self._node(operand, inside, isolated, True)
            case Compound():
                isolated |= is_bashism(node.redirects)
                used |= overwrites(node.redirects) is not None
                for block in node.conditions:
                    self._block(block, inside, isolated, True, True)
                for block in node.bodies:
                    self._block(block, inside, isolated, used, used)
            case Opaque():
                pass

    def _block(self, block: Block, inside: str | None, isolated: bool, used: bool, after: bool) -> None:
        for index, (node, background) in enumerate(block.items):
            following = block.items[index + 1][0] if index + 1 < len(block.items) else None
            read = reads_status(self._script, following) if following is not None else after
            self._node(node, inside, isolated or background, used or read)


def _mark_mentioned(script: Script, usage: dict[str, Usage], accounted: set[int]) -> None:
    """A name that stands anywhere else (a trap, an argument, a substitution) may be called in any way."""
    text = without_comments(script)
    for name, use in usage.items():
        for found in re.finditer(_named(name), text):
            definition = re.match(rb"\s*\(\s*\)", text[found.end() : found.end() + 20])
            keyword = text[max(found.start() - 20, 0) : found.start()].rstrip().endswith(b"function")
            if found.start() not in accounted and not definition and not keyword:
                use.isolated = use.used = True


def _named(name: str) -> bytes:
    return rb"(?<![\w./-])" + re.escape(name.encode()) + rb"(?![\w./-])"


def _spread(usage: dict[str, Usage], calls: list[tuple[str, str | None]]) -> None:
    changed = True
    while changed:
        changed = False
        for callee, caller in calls:
            if caller is None:
                continue
            to, by = usage[callee], usage[caller]
            before = (to.isolated, to.used, to.interrupts)
            to.isolated |= by.isolated
            to.used |= by.used
            to.interrupts |= by.interrupts
            changed |= before != (to.isolated, to.used, to.interrupts)
