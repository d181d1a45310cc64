"""What a program's functions and commands are to the agent: by what they do, never by their name.

Everything here is judged from the text alone, and in doubt against a native meaning: what is not recognised stays
shell, which is always right.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.evaluate.grammar import (
    AndOr,
    Block,
    Command,
    Compound,
    Function,
    Node,
    Opaque,
    Pipeline,
    Redirect,
    Script,
    Word,
)

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
# Externals that change nothing, whatever their arguments: they are asked, not done. Gating them gains nothing, and a
# loop that waits would spin without its sleep.
# fmt: off
NEUTRAL = frozenset({
    "basename", "cat", "cmp", "cut", "diff", "dirname", "egrep", "fgrep", "findmnt", "getent", "grep", "head", "id",
    "ls", "lsblk", "lscpu", "lsmod", "lspci", "lsusb", "mountpoint", "nproc", "pgrep", "readlink", "sleep", "stat",
    "tail", "tr", "uname", "usleep", "wc", "which",
})
# fmt: on
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

_COPY_PROGRAMS = frozenset({"rsync", "mkdir", "dirname"})
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
    enders: frozenset[str]  # those that only print and then end the program or the function


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
            text = script.text[node.start : max(node.end, node.whole_end)]
            return bool(_STATUS.search(text) or _BARE_RETURN.fullmatch(text.strip()))


def _redirected_by_status(node: Compound) -> bool:
    return any(r.target is not None and _STATUS.search(r.target.text) for r in node.redirects)


def overwrites(redirects: Sequence[Redirect]) -> Word | None:
    """The file that loses its content to what the statement prints, and so depends on all of it; a log does not."""
    for redirect in redirects:
        target = redirect.target
        if target is not None and _is_file_output(redirect, {">", ">|", "&>"}) and not _is_log(target):
            return target
    return None


def prints_to_file(redirects: Sequence[Redirect]) -> bool:
    """Does what the statement prints go anywhere but to its caller or ``/dev/null``?"""
    return any(
        _is_file_output(r, {">", ">>", ">|", "&>", "&>>"}) and (r.target is None or r.target.literal != "/dev/null")
        for r in redirects
    )


def _is_file_output(redirect: Redirect, operators: set[str]) -> bool:
    return redirect.operator in operators and redirect.descriptor in {None, 1}


def _is_log(target: Word) -> bool:
    path = target.text.strip(b"\"'")
    return path.endswith(b".log") or path.startswith((b"/dev/", b"/proc/", b"/sys/", b"/var/log/", b"/run/log/"))


def is_bashism(redirects: Sequence[Redirect]) -> bool:
    """``&>`` redirects in bash, and puts the command into the background in any other shell."""
    return any(r.operator in {"&>", "&>>"} for r in redirects)


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
    enders = frozenset(n for n, found in defined.items() if len(found) == 1 and gives_up(found[0].body, frozenset()))
    for name, definitions in defined.items():
        if len(definitions) == 1:
            body = _body(definitions[0])
            copy = _copy_function(script, body, understood) if _COPY_PROGRAMS.isdisjoint(defined) else None
            run = _run_function(body, own_logger="logger" in defined)
            if copy is not None:
                copies[name] = copy
            elif run is not None:
                runs[name] = run
    return Functions(copies=copies, runs=runs, usage=_usage(script, set(defined), runs), enders=enders)


def gives_up(node: Node, enders: frozenset[str]) -> bool:
    """``exit 1``, ``{ echo failed; return 1; }``, or a function of that kind: nothing is done instead."""
    if isinstance(node, Command):
        return node.name in {"exit", "return"} or node.name in enders
    if not isinstance(node, Compound) or node.kind != "group":
        return False
    *before, last = (item for item, _ in node.bodies[0].items)
    printing = all(isinstance(n, Command) and n.name in {"echo", "printf", "logger"} for n in before)
    return printing and gives_up(last, enders)


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


def _run_function(body: list[Node] | None, *, own_logger: bool) -> RunFunction | None:
    """A body of ``logger``, ``echo``, assignments, tests and exactly one ``"$@"``. ``own_logger``: a function of the
    program's, which the agent does not stand in for."""
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
        loggers=() if own_logger else tuple(logger for logger in loggers if _plain_logger(logger)),
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


def _usage(script: Script, names: set[str], runs: Mapping[str, RunFunction]) -> dict[str, Usage]:
    """Follow each call, then spread *isolated* and *used* from callers to what they call."""
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
            run = runs.get(node.name or "")
            if run is not None and len(node.words) > 1 and node.words[1].literal in usage:
                call(node.words[1], inside, isolated or run.program is None, used)
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
