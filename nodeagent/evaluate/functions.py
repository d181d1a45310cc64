"""What a program's functions are to the agent: by what they do, never by their name.

Everything here is judged from the text alone, and in doubt against a native meaning: what is not recognised stays
shell, which is always right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nodeagent.evaluate import merge_function, rsync_words
from nodeagent.evaluate.copy_function import PROGRAMS, CopyFunction, Understood, copy_function
from nodeagent.evaluate.leaving import gives_up
from nodeagent.evaluate.syntax import (
    AndOr,
    Command,
    Compound,
    Function,
    Node,
    Opaque,
    Pipeline,
    Script,
    functions_in,
)
from nodeagent.evaluate.usage import Dots, Usage, follow
from nodeagent.model.evaluation import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFunction:
    """A function around ``"$@"`` that says what it does; the statements are places in its body.

    ``program`` is None when ``"$@"`` is no statement of its own (then only the call can be gated). ``loggers`` are
    those that the agent can stand in for; ``logs``: there is any.
    """

    program: Command | None
    loggers: tuple[Command, ...]
    logs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """All that is known about a program's functions, by name."""

    copies: dict[str, CopyFunction]
    runs: dict[str, RunFunction]
    usage: dict[str, Usage]
    enders: frozenset[str]  # those that only print and then end the program or the function
    waited: bool  # the program asks for the process of a background job


def functions(files: Mapping[str, Script], understood: Understood, dots: Dots = MappingProxyType({})) -> Functions:
    """Recognise the functions of a program, and how they are called.

    Args:
        files: the program, and what it sources, by name.
        understood: tells which lists of rsync flags the agent can do itself.
        dots: see :class:`nodeagent.evaluate.sources.Sourced`.
    """
    defined: dict[str, list[Function]] = {}
    home: dict[str, str] = {}
    for file, script in files.items():
        for function in functions_in(script.block):
            defined.setdefault(function.name, []).append(function)
            home[function.name] = file
    copies: dict[str, CopyFunction] = {}
    runs: dict[str, RunFunction] = {}
    enders = frozenset(n for n, found in defined.items() if len(found) == 1 and gives_up(found[0].body, frozenset()))
    for name, definitions in defined.items():
        if len(definitions) == 1:
            body = _body(definitions[0])
            copy = None
            if body and PROGRAMS.isdisjoint(defined):
                copy = copy_function(definitions[0], body, home[name], files, understood)
            if copy is None and merge_function.PROGRAMS.isdisjoint(defined):
                copy = _merge_function(name, home[name], files[home[name]], body)
            run = _run_function(body, own_logger="logger" in defined)
            if copy is not None:
                copies[name] = copy
            elif run is not None:
                runs[name] = run
    return Functions(
        copies=copies,
        runs=runs,
        usage=follow(files, set(defined), {name: run.program is not None for name, run in runs.items()}, dots),
        enders=enders,
        waited=any(b"$!" in script.text or b"${!" in script.text for script in files.values()),
    )


def _body(function: Function) -> list[Node] | None:
    body = function.body
    if (
        isinstance(body, Compound)
        and body.kind == "group"
        and not body.redirects
        and not any(b for _, b in body.bodies[0].items)
    ):
        return [node for node, _ in body.bodies[0].items]
    return None


def _merge_function(name: str, file: str, script: Script, body: list[Node] | None) -> CopyFunction | None:
    if not body or len(body) != 1 or not merge_function.is_merge(script.slice(body[0])):
        return None
    return CopyFunction(flags=(), makes_parent=False, name=name, file=file, phase=Phase.MERGE)


def rsync_flags(command: Command) -> tuple[str, ...] | None:
    """The options of ``rsync OPTIONS SRC... DST`` when they all are literal and stand in front, else None."""
    parts = rsync_words.split(command)
    return parts[0] if parts is not None and len(parts[1]) >= 2 else None


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
        elif isinstance(node, AndOr):
            stack.extend(reversed(node.operands))
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
