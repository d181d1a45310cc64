"""Control flow that does not do what it looks like."""

import re
from collections.abc import Iterator

from nodeagent.evaluate.syntax import AndOr, Command, Compound, Node, Pipeline
from nodeagent.lint.finding import Finding, shown
from nodeagent.lint.places import Place
from nodeagent.lint.program import Call, Program

_ENDS = re.compile(rb"(?:^|[\s;&|(){}])(?:break|exit|return|shift|exec|die|kill)(?=$|[\s;&|(){}])")
_READS_INPUT = re.compile(rb"(?:^|\s)(?:read|getopts)\s|\$\?|SECONDS|EPOCHSECONDS|date\s|(?:^|\s)timeout\s")
_WAITS = re.compile(rb"(?:^|[\s;&|])(?:sleep|usleep)\s")
_IDLES = re.compile(rb"(?:(?::|true|wait)[\s;]+|(?:echo|printf|logger)\b[^\n;]*[;\n]\s*)*done\s*")
_ALWAYS = re.compile(rb"\s*(?:true|:|\[ 1 \]|\(\(\s*1\s*\)\)|\[\[ 1 \]\])\s*")
_NAMES = re.compile(rb"[A-Za-z_]\w*")


def endless_loop(program: Program) -> Iterator[Finding]:
    for place in program.places:
        node = place.node
        if isinstance(node, Compound) and node.kind == "while" and not place.background:
            condition, body = _parts(program, node)
            if _endless(condition, body):
                text = program.text[node.start : node.end]
                yield program.finding("endless-loop", node.start, f"{shown(text, 60)} has no bound")


def _parts(program: Program, node: Compound) -> tuple[bytes, bytes]:
    first = node.bodies[0].items[0][0].start if node.bodies and node.bodies[0].items else node.end
    inner = program.text[node.start : first]
    condition = re.sub(rb"[;\s]*\bdo\s*$", b"", inner).removeprefix(b"while").removeprefix(b"until")
    return condition, program.text[first : node.end]


def _endless(condition: bytes, body: bytes) -> bool:
    if _ENDS.search(body) or _READS_INPUT.search(b" " + condition):
        return False
    if _ALWAYS.fullmatch(condition):
        return True
    if not (_WAITS.search(b" " + body) or _WAITS.search(condition) or _IDLES.fullmatch(body)):
        return False
    changed = {
        m.group(1) for m in re.finditer(rb"([A-Za-z_]\w*)(?:=|\+\+|--|\+=|-=)|(?<=\+\+)", body + condition) if m[1]
    }
    changed |= {name for m in re.finditer(rb"\blet\s+(.*)|\bread\s+(.*)", body) for name in _NAMES.findall(m.group())}
    return not changed & set(_NAMES.findall(condition))


def exit_in_subshell(program: Program) -> Iterator[Finding]:
    """``A || (...; exit 1)``: two ids, as behind ``cd`` it is worse."""
    if program.errexit:
        return  # the subshell's status ends the program then
    for place in program.places:
        node = place.node
        if isinstance(node, AndOr) and not place.tested:
            last = node.operands[-1]
            if _exits_alone(last) and not _followed(program, place):
                changes = isinstance(node.operands[0], Command) and node.operands[0].name == "cd"
                id_ = "cd-subshell-exit" if changes else "exit-in-subshell"
                yield program.finding(id_, node.start, shown(program.slice(node), 60))
    yield from _piped_exits(program)


def _exits_alone(node: Node) -> bool:
    """A subshell whose last command is ``exit``, be it behind ``&&``."""
    if not (isinstance(node, Compound) and node.kind == "subshell" and node.bodies[0].items):
        return False
    last = node.bodies[0].items[-1][0]
    if isinstance(last, AndOr):
        last = last.operands[-1]
    return isinstance(last, Command) and last.name in {"exit", "return"} and not _succeeds(last)


def _succeeds(command: Command) -> bool:
    return len(command.words) > 1 and command.words[1].literal == "0"


def _followed(program: Program, place: Place) -> bool:
    """Does the statement behind it look at its status, or is it the program's last one?"""
    rest = program.text[place.node.end :].lstrip(b" \t;\n")
    line = rest.split(b"\n", 1)[0]
    return not rest or b"$?" in line or (place.function != "" and rest.startswith(b"}"))


def _piped_exits(program: Program) -> Iterator[Finding]:
    """``... | while read x; do ... exit 1; done``, once a pipeline."""
    seen: set[int] = set()
    for call in program.calls("exit"):
        pipeline = next((node for node in reversed(call.place.around) if isinstance(node, Pipeline)), None)
        if pipeline is None or pipeline.start in seen or call.place.tested or _succeeds(call.command):
            continue
        if _runs_here(call, pipeline.parts[-1]):
            seen.add(pipeline.start)
            yield program.finding("exit-in-subshell", call.command.start, "exit in a part of a pipeline")


def _runs_here(call: Call, last: Node) -> bool:
    """Is it in the pipeline's last part, and not in a subshell of its own there?"""
    if not (isinstance(last, Compound) and last.kind in {"while", "for", "group"} and call.command.start > last.start):
        return False
    inner = (node for node in call.place.around if node.start > last.start)
    return not any(isinstance(node, Compound) and node.kind == "subshell" for node in inner)
