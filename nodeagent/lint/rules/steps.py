"""Statements of post.sh that look like steps, and run each time; and what steps leave out of a file."""

import re
from collections.abc import Iterator
from itertools import pairwise

from nodeagent.evaluate.syntax import Block, Command, Node, Script, Word, children
from nodeagent.evaluate.usage import reads_status
from nodeagent.evaluate.vocabulary import NEUTRAL, SHELL_WORDS, TEXT_COMMANDS
from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.program import Call, Program
from nodeagent.lint.repository import Repository
from nodeagent.lint.rules.danger import restarts
from nodeagent.model.evaluation import Phase

_VERBS = frozenset(Phase) - {Phase.EXECUTE}
# Commands that only ask, as far as they tell: they may well run each time.
_ASKS = re.compile(
    rb"(?:rpm|dpkg|dpkg-query|apt-cache)\s+-?-?[qlsV]|systemctl\s+(?:-\S+\s+)*(?:is-|status|show|list-|cat\b)"
    rb"|(?:awk|blkid|curl|df|dig|dmidecode|du|find|getenforce|host|ibstat|ip\s+\S+\s+show|lsof|mokutil|nc|netstat|nslookup"
    rb"|nvidia-smi|pidof|ping|ps|scontrol\s+(?:show|ping)|sinfo|sort|squeue|ss|sshd\s+-t|timeout|visudo\s+-\w*c|wget)\b"
)


def always_runs(repository: Repository) -> Iterator[Finding]:
    """A program whose status ``$?`` is looked at, and a RUN or a restart as a condition."""
    if repository.instrumented.whole:
        return
    asked = {(s.file, s.line) for s in repository.instrumented.statements if s.asked}
    for program in repository.entries:
        if program.file in repository.instrumented.left:
            continue
        steps, read = _steps(repository, program), dict(_looked_at(program.script))
        for call in program.calls():
            line = call.command.line
            if line in steps:
                continue
            told = (program.file, line) in asked and call.command.name in program.runners
            if call.command.start in read and _acts(repository, program, call):
                how, fix = read[call.command.start]
            elif call.place.tested and (told or restarts(call)):
                how, fix = "as a condition", ""
            else:
                continue
            what = f"{shown(program.slice(call.command), 60)}, {how}"
            yield program.finding("always-runs", call.command.start, what, fix=fix)


def exec_output(repository: Repository) -> Iterator[Finding]:
    """``exec >FILE`` with a step below it that prints there, or not, as it is due."""
    if repository.instrumented.whole:
        return
    for program in repository.entries:
        steps = sorted(_steps(repository, program))
        turns = [call for call in program.calls("exec") if len(call.command.words) == 1]
        for call, following in pairwise([*turns, None]):
            target = _emptied(call.command) if call else None
            if call is None or target is None:
                continue
            here, end = call.command.line, following.command.line if following else None
            below = next((line for line in steps if here < line and (end is None or line < end)), None)
            if below is not None:
                what = f"exec >{shown(target.text, 60)} takes the output of steps, as of the one in line {below}"
                yield program.finding("exec-output", call.command.start, what)


def _steps(repository: Repository, program: Program) -> set[int]:
    """All lines of the statements that run only when they are due."""
    return {
        line
        for s in repository.instrumented.statements
        if s.file == program.file and s.phase is Phase.EXECUTE and not s.asked
        for line in range(s.line, max(s.line, s.last_line) + 1)
    }


def _looked_at(script: Script) -> Iterator[tuple[int, tuple[str, str]]]:
    """Where the commands stand whose ``$?`` the statement behind them reads; how it does, and the mend for that."""
    stack: list[Block | Node] = [script.block]
    while stack:
        current = stack.pop()
        if not isinstance(current, Block):
            stack.extend(children(current))
            continue
        stack.extend(node for node, _ in current.items)
        for (node, _), (following, _) in pairwise(current.items):
            if isinstance(node, Command) and reads_status(script, following):
                bare = script.slice(following).strip().decode(errors="replace")
                if bare in {"exit", "return"}:
                    yield node.start, (f"whose status the {bare} behind it hands on", f"{bare} 0")
                else:
                    yield node.start, ("whose status $? is looked at", "")


def _acts(repository: Repository, program: Program, call: Call) -> bool:
    """Does it do something to the node, as far as its name tells, and not as a verb of the agent's?"""
    if call.command.name in program.runners:
        return True
    if any(call.command.line in repository.native[program.file, phase] for phase in _VERBS):
        return False
    known = program.bodies.keys() | SHELL_WORDS | NEUTRAL | TEXT_COMMANDS
    return bool(call.name) and call.name not in known and not _ASKS.match(b" ".join(w.text for w in call.words))


def _emptied(command: Command) -> Word | None:
    """The file that standard output goes to from now on, no device and no process."""
    for redirect in command.redirects:
        target = (
            redirect.target if redirect.operator in {">", ">|", "&>"} and redirect.descriptor in {None, 1} else None
        )
        if target is not None and not target.text.lstrip(b"\"'").startswith((b"/dev/", b"/proc/", b">(")):
            return target
    return None
