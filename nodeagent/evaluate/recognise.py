"""What a program's functions and commands are to the agent: by what they do, never by their name.

Everything here is judged from the text alone, and in doubt against a native meaning: what is not recognised stays
shell, which is always right.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nodeagent.evaluate.grammar import AndOr, Block, Command, Compound, Function, Node, Opaque, Pipeline, Script

Understood = Callable[[Sequence[str]], bool]
"""Is this list of rsync's flags one whose meaning the agent knows exactly?"""

# Built-ins and reserved words of dash, bash and ash that act on the shell itself, or on nothing at all.
# fmt: off
SHELL_WORDS = frozenset({
    ".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command", "compgen",
    "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "echo", "enable", "eval", "exec",
    "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "let", "local",
    "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly", "return", "select",
    "set", "shift", "shopt", "source", "suspend", "test", "time", "times", "trap", "true", "type", "typeset",
    "ulimit", "umask", "unalias", "unset", "wait",
})
# fmt: on
# Externals that change nothing: gating them gains nothing, and a loop that waits would spin without its sleep.
NEUTRAL = frozenset({"sleep", "usleep"})
# A built-in that acts on the node, not on the shell.
ACTING_BUILTINS = frozenset({"kill"})
TEXT_COMMANDS = frozenset({"cat", "echo", "printf"})

# Programs that look at what instrumenting would change (the last argument, a pipeline's statuses, a function's text)
# or that replace what the verbs are made of. They are run whole.
_UNTOUCHABLE = re.compile(
    rb"(?<![\w-])(?:un)?alias(?![\w-])|PIPESTATUS|\$_(?!\w)|\$\{_\}|BASH_COMMAND|lastpipe|__na_"
    rb"|(?<![\w-])(?:declare|typeset|export|local)\s+-\w*f|(?<![\w-])trap\b[^\n]*\bDEBUG\b"
)
_VERB_WORDS = frozenset({"printf", "pwd", "umask", "read", "command", "return", "shift", "case", "while"})
_STATUS = re.compile(rb"\$(?:\?|\{\?)")
_BARE_RETURN = re.compile(rb"(?:return|exit)\s*")

_MKDIR_PARENT = re.compile(rb'mkdir\s+-p\s+(?:--\s+)?"?(?:\$\(|`)\s*dirname\s+(?:--\s+)?"?\$\{?2\}?"?\s*(?:\)|`)"?')


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFunction:
    """A function that is ``rsync FLAGS "$1" "$2"``, with or without ``mkdir -p "$(dirname "$2")"`` before it."""

    flags: tuple[str, ...]
    makes_parent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFunction:
    """A function around ``"$@"`` that says what it does; the statements are places in its body.

    ``program`` is None when ``"$@"`` is no statement of its own (then only the call can be gated). ``loggers`` are
    those that the agent can stand in for; ``logs``: there is any.
    """

    program: Command | None
    loggers: tuple[Command, ...]
    logs: bool


@dataclass(slots=True)
class Usage:
    """How a function is called: ``isolated`` in a process of its own or in a way that cannot be followed,
    ``used`` where its status or output decides something."""

    isolated: bool = False
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """All that is known about a program's functions, by name."""

    copies: dict[str, CopyFunction]
    runs: dict[str, RunFunction]
    usage: dict[str, Usage]


def untouchable(script: Script) -> str | None:
    """Why a program cannot be instrumented at all, or None."""
    found = _UNTOUCHABLE.search(without_comments(script))
    if found:
        return f"it uses {found.group().decode(errors='replace').split()[0]}"
    taken = sorted({f.name for f in functions_in(script.block)} & _VERB_WORDS)
    return f"it redefines {taken[0]}" if taken else None


def without_comments(script: Script) -> bytes:
    text = bytearray(script.text)
    for start, end in script.comments:
        text[start:end] = b" " * (end - start)
    return bytes(text)


def reads_status(text: bytes) -> bool:
    """Does the statement look at ``$?`` as it finds it?"""
    return bool(_STATUS.search(text) or _BARE_RETURN.fullmatch(text.strip()))


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


def functions(script: Script, understood: Understood) -> Functions:
    """Recognise the program's functions and how they are called."""
    defined: dict[str, list[Function]] = {}
    for function in functions_in(script.block):
        defined.setdefault(function.name, []).append(function)
    copies: dict[str, CopyFunction] = {}
    runs: dict[str, RunFunction] = {}
    for name, definitions in defined.items():
        if len(definitions) == 1:
            body = _body(definitions[0])
            copy = _copy_function(script, body, understood)
            run = _run_function(body)
            if copy is not None:
                copies[name] = copy
            elif run is not None:
                runs[name] = run
    return Functions(copies=copies, runs=runs, usage=_usage(script, set(defined), set(runs)))


def _body(function: Function) -> list[Node] | None:
    body = function.body
    if isinstance(body, Compound) and body.kind == "group" and not any(b for _, b in body.bodies[0].items):
        return [node for node, _ in body.bodies[0].items]
    return None


def _copy_function(script: Script, body: list[Node] | None, understood: Understood) -> CopyFunction | None:
    if not body or len(body) > 2 or not all(isinstance(node, Command) for node in body):
        return None
    *before, rsync = body
    assert isinstance(rsync, Command)
    flags = rsync_flags(rsync)
    if flags is None or rsync.redirects or not understood(flags):
        return None
    if [w.text.replace(b"{", b"").replace(b"}", b"") for w in rsync.words[-2:]] != [b'"$1"', b'"$2"']:
        return None
    preparation = script.text[before[0].start : before[0].end] if before else b""
    if preparation and not _MKDIR_PARENT.fullmatch(preparation):
        return None
    return CopyFunction(flags=flags, makes_parent=bool(preparation))


def rsync_flags(command: Command) -> tuple[str, ...] | None:
    """The flags of ``rsync FLAGS SRC... DST`` when they all are literal and stand in front, else None."""
    if command.name != "rsync" or command.assigns or len(command.words) < 3:
        return None
    flags: list[str] = []
    for word in command.words[1:]:
        if word.literal is None or not word.literal.startswith("-"):
            break
        flags.append(word.literal)
    operands = command.words[1 + len(flags) :]
    if len(operands) < 2 or any((w.literal or "").startswith("-") for w in operands):
        return None
    return tuple(flags)


def _run_function(body: list[Node] | None) -> RunFunction | None:
    """A body of ``logger``, ``echo``, assignments, tests and exactly one ``"$@"``."""
    if not body:
        return None
    programs: list[Command] = []
    piped: list[Pipeline] = []
    loggers: list[Command] = []
    stack: list[Node] = list(reversed(body))
    while stack:
        node = stack.pop()
        if isinstance(node, Command):
            if _is_arguments(node):
                programs.append(node)
            elif node.name == "logger" and not node.assigns:
                loggers.append(node)
            elif node.name not in {"echo", "printf", "return", "[", "test", ":", "true"}:
                return None
        elif isinstance(node, Pipeline):
            piped.append(node)
            if not _is_arguments(node.parts[0]) or not all(_named(part, "logger") for part in node.parts[1:]):
                return None
        elif isinstance(node, Compound) and node.kind in {"if", "group"}:
            for block in (*node.conditions, *node.bodies):
                if any(background for _, background in block.items):
                    return None
                stack.extend(item for item, _ in reversed(block.items))
        elif not (isinstance(node, Opaque) and node.known):
            return None
    if len(programs) + len(piped) != 1 or not (loggers or piped):
        return None
    plain = programs and programs[0] in body and not programs[0].redirects
    return RunFunction(
        program=programs[0] if plain else None,
        loggers=tuple(logger for logger in loggers if _plain_logger(logger)),
        logs=bool(loggers or piped),
    )


def _plain_logger(command: Command) -> bool:
    """``logger [-t TAG] [-p PRIORITY] TEXT...``, nothing else."""
    words = list(command.words[1:])
    while words and words[0].literal in {"-t", "-p"}:
        del words[:2]
    return bool(words) and not any((w.literal or "").startswith("-") for w in words) and not command.heredoc


def _is_arguments(node: Node) -> bool:
    return isinstance(node, Command) and not node.assigns and [w.text for w in node.words] == [b'"$@"']


def _named(node: Node, name: str) -> bool:
    return isinstance(node, Command) and node.name == name


def _usage(script: Script, names: set[str], runs: set[str]) -> dict[str, Usage]:
    """Follow each call, then spread *isolated* and *used* from callers to what they call."""
    usage = {name: Usage() for name in names}
    calls: list[tuple[str, str | None]] = []  # (callee, enclosing function)
    accounted: set[int] = set()

    def visit(node: Node, inside: str | None, isolated: bool, used: bool) -> None:
        if isinstance(node, Command):
            if node.name in usage:
                accounted.add(node.words[0].start)
                usage[node.name].isolated |= isolated
                usage[node.name].used |= used
                calls.append((node.name, inside))
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
            for block in node.conditions:
                visit_block(block, inside, isolated, True, True)
            for block in node.bodies:
                visit_block(block, inside, isolated, used, used)

    def visit_block(block: Block, inside: str | None, isolated: bool, used: bool, after: bool) -> None:
        for index, (node, background) in enumerate(block.items):
            following = block.items[index + 1][0] if index + 1 < len(block.items) else None
            read = reads_status(script.text[following.start : following.end]) if following is not None else after
            visit(node, inside, isolated or background, used or read)

    visit_block(script.block, None, False, False, False)
    _mark_mentioned(script, usage, accounted)
    _spread(usage, calls)
    return usage


def _mark_mentioned(script: Script, usage: dict[str, Usage], accounted: set[int]) -> None:
    """A name that stands anywhere else (a trap, an argument, a substitution) may be called in any way."""
    text = without_comments(script)
    for name, use in usage.items():
        for found in re.finditer(rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w.-])", text):
            definition = re.match(rb"\s*\(\s*\)", text[found.end() : found.end() + 20])
            keyword = text[: found.start()].rstrip().endswith(b"function")
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
