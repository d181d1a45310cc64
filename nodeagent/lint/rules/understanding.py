"""Whether the shell and the agent understand a program, and its annotations."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from nodeagent.evaluate.annotations import Comment
from nodeagent.evaluate.attached import attached
from nodeagent.evaluate.interpreter import interpreter
from nodeagent.evaluate.statements import Instrumented
from nodeagent.evaluate.syntax import without_comments
from nodeagent.lint.catalogue import RULES
from nodeagent.lint.finding import Finding, Severity, shown
from nodeagent.lint.program import Program
from nodeagent.lint.repository import ENTRY, Repository
from nodeagent.model.evaluation import Phase, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``SHELL -n`` said: ``line`` is None if it accepts the program, and 0 if it does not name the line."""

    shell: str
    line: int | None
    message: str = ""


Syntax = Callable[[str, str], Sequence[Verdict]]
"""Ask the shells that a program may get (by its file, and the name in its first line); empty if there is none."""


def unparsable(repository: Repository, syntax: Syntax) -> Iterator[Finding]:
    programs = repository.programs  # which finds what cannot be read
    for file in repository.unread:
        program = Program(file=file, text=b"", entry=False)
        yield program.finding("unparsable", 0, "it cannot be read, or is longer than 1 MiB")
    for program in programs:
        if program.shell and program.text.strip():
            yield from _refused(program, syntax(program.file, program.shell))


def _refused(program: Program, verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    refusing = [verdict for verdict in verdicts if verdict.line is not None]
    if refusing:
        first = refusing[0]
        at = _offset(program.text, first.line or 1)
        said = f"{first.shell} -n refuses it" + (f": {shown(first.message)}" if first.message else "")
        if len(refusing) < len(verdicts):
            taking = ", ".join(v.shell for v in verdicts if v.line is None)
            what = f"{said}; {taking} takes it, so all depends on what the node's /bin/sh is"
            yield program.finding("unparsable", at, what, Severity.WARNING, why=_ends(program))
        else:
            yield program.finding("unparsable", at, said, why=_ends(program))
    elif program.script.error_line is not None and (program.entry or not verdicts):
        at = _offset(program.text, program.script.error_line)
        severity = Severity.WARNING if verdicts else None
        fix = "write it in another way, or move it to a postscript" if verdicts else ""
        what = "the agent does not understand this line"
        yield program.finding("unparsable", at, what, severity, why=_left(program), fix=fix)


def _ends(program: Program) -> str:
    """What a shell's refusal comes to."""
    ends = RULES["unparsable"].why
    return f"post.sh is run whole, as one step, and {ends}" if program.file == ENTRY else ends


def _left(program: Program) -> str:
    """What it comes to that only the agent does not understand a program."""
    if program.file == ENTRY:
        return RULES["run-whole"].why
    if program.entry:
        return "all of this file is left to the shell, and always runs: nothing in it is a step"
    return "no shell could be asked whether it is right"


def _offset(text: bytes, line: int) -> int:
    at = 0
    for _ in range(line - 1):
        found = text.find(b"\n", at)
        if found < 0:
            break
        at = found + 1
    return at


def run_whole(repository: Repository) -> Iterator[Finding]:
    for program in repository.entries:
        if program.file != ENTRY or not program.has_interpreter or not program.text.strip():
            continue
        if not interpreter(program.text.replace(b"\r\n", b"\n")).native:
            first = program.text.split(b"\n", 1)[0]
            yield program.finding("run-whole", 0, f"{shown(first, 40)} is not a plain shell")
        elif program.script.error_line is None and (reason := repository.instrumented.whole):
            file, _, said = reason.rpartition(": ")
            at = next((other for other in repository.entries if other.file == file), program)
            match = re.search(re.escape(said.split()[-1].encode()), without_comments(at.script))
            yield at.finding("run-whole", match.start() if match else 0, shown(said))


def annotation_words(repository: Repository) -> Iterator[Finding]:
    for problem in attached(_evaluated(repository))[1]:
        text = repository.instrumented.scripts[problem.file].text
        program = Program(file=problem.file, text=text, entry=True)
        yield program.finding("unknown-annotation", problem.start, shown(problem.what, 160))
    for program in repository.scripts:
        for comment in program.annotations:
            wrong = next(comment.wrong(), None)
            if wrong is not None or not comment.words:
                what = f"'{shown(wrong or '', 40)}' is no annotation"
                yield program.finding("unknown-annotation", comment.start, what, Severity.WARNING)
            elif comment.names != {"ignore"}:
                yield program.finding("annotation-unread", comment.start, "an annotation in a script")
    for program in repository.programs:
        yield from _ids(program, program.annotations)


def _evaluated(repository: Repository) -> Instrumented:
    """As the agent takes it: a program that is run whole has one step."""
    done = repository.instrumented
    if reason := interpreter(done.text).whole:
        done = replace(done, whole=reason)
    if not done.whole:
        return done
    step = Statement(number=0, key="", file=done.file, line=1, phase=Phase.EXECUTE, text="")
    return replace(done, statements=(step,))


def _ids(program: Program, comments: Sequence[Comment]) -> Iterator[Finding]:
    for comment in comments:
        if next(comment.wrong(), None) is None and (unknown := sorted(comment.ignored - RULES.keys())):
            what = f"ignore={shown(unknown[0], 40)} names no id of lint"
            yield program.finding("unknown-annotation", comment.start, what, Severity.WARNING)
