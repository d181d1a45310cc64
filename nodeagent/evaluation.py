"""One evaluation of one tree: from post.sh's text to the record of how every step came out."""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.apply import process
from nodeagent.apply.rsync import parse as parse_flags
from nodeagent.errors import PostScriptMissing
from nodeagent.evaluate import shell
from nodeagent.evaluate.annotations import annotated
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import Instrumented, instrument
from nodeagent.evaluate.interpreter import Interpreter, interpreter
from nodeagent.evaluate.pipes import Pipes, at_end
from nodeagent.evaluate.policy import Due
from nodeagent.evaluate.stand_in import Back, in_place_of, restore_original, with_prelude
from nodeagent.ledger import statements, undo
from nodeagent.ledger.database import Connection
from nodeagent.ledger.sources import Source
from nodeagent.ledger.view import View
from nodeagent.model import (
    Evaluation,
    EvaluationEnded,
    EvaluationStarted,
    Notice,
    Phase,
    Reporter,
    Revision,
    Scope,
    Statement,
)
from nodeagent.steps.due import Judge
from nodeagent.steps.engine import Steps

__all__ = ["ENTRY", "Job", "Settings", "evaluate", "restore_original"]

ENTRY = "post.sh"
_NOTICE, _WARNING = 5, 4  # syslog severities
_NO_SHELL = "its first line names no shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How post.sh is run. Times in seconds; ``state`` and ``runtime`` are directories.

    ``busy`` says what runs on the node that no step may disturb; empty: nothing does.
    """

    args: Sequence[str]
    environment: Mapping[str, str]
    step_timeout: float
    evaluation_timeout: float
    state: Path
    runtime: Path
    busy: Callable[[], str] = str
    keep_bytes: int = 64 * 2**20  # of what a verb replaces; what is larger is noted, not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be evaluated, and why. ``boot`` is the kernel's boot id.

    ``run_steps``: else an EXECUTE step that may run is told as executed, and is not.
    """

    directory: Path
    revision: Revision
    due: Due
    retry: bool
    boot: str
    run_steps: bool = True


def evaluate(
    job: Job,
    *,
    connection: Connection,
    source: Source,
    settings: Settings,
    reporter: Reporter,
    stop: threading.Event,
) -> Evaluation:
    """Evaluate post.sh and bring the node to what it means.

    Raises:
        PostScriptMissing: the tree has no post.sh.
        AnnotationInvalid: an annotation in it cannot be followed.
    """
    script = job.directory / ENTRY
    restore_original(script)
    mark = process.StepMark(settings.runtime)
    mark.end_leftovers()
    text = _read(script)
    by = interpreter(text)
    began = time.monotonic()
    with Pipes.open(settings.runtime) as pipes:
        program = _annotated(_program(script, text, by, pipes, reporter), text)
        number = source.begin(job.revision, boot=job.boot, scope=job.due.scope, trigger=job.due.trigger)
        undo.resume(connection, source.id)
        statements.remember(connection, source.id, number, program.statements)
        reporter.report(
            EvaluationStarted(number=number, revision=str(job.revision), scope=job.due.scope, trigger=job.due.trigger)
        )
        view = View(
            connection,
            source=source.id,
            evaluation=number,
            scope=job.due.scope,
            keep_in=settings.state / "kept",
            keep_bytes=settings.keep_bytes,
        )
        steps = Steps(
            program=program,
            source=source,
            view=view,
            judge=Judge(source, scope=job.due.scope, boot=job.boot, retry=job.retry, busy=settings.busy),
            boot=job.boot,
            run_steps=job.run_steps,
            evaluation=number,
            reporter=reporter,
            staging=pipes.directory,
            mark=mark,
            step_timeout=settings.step_timeout,
        )
        ended = _run(
            job, script, by, program=program, pipes=pipes, steps=steps, mark=mark, settings=settings, stop=stop
        )
        steps.shell_ended(
            ended.exit_status, stopped=ended.end is shell.End.STOPPED, expired=ended.end is shell.End.EXPIRED
        )
        view.finish()
    duration_usec = int((time.monotonic() - began) * 1e6)
    return _record(job, source, steps, ended, number=number, reporter=reporter, duration_usec=duration_usec)


def check(read: Callable[[str], bytes | None]) -> None:
    """Refuse a tree that could not be evaluated, before it takes the place of the one that is in force.

    Args:
        read: gives a file of the tree, or None if there is none at the path.

    Raises:
        PostScriptMissing: the tree has no post.sh.
        AnnotationInvalid: an annotation in it cannot be followed.
    """
    text = read(ENTRY)
    if text is None:
        raise _missing(ENTRY)
    program = Instrumented(text=text, whole=_NO_SHELL)
    if interpreter(text).native:
        program = instrument(parse(text), ENTRY, lambda flags: parse_flags(flags) is not None)
    _annotated(_as_one_step(text, program.whole) if program.whole else program, text)


def _read(script: Path) -> bytes:
    try:
        return script.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _missing(str(script)) from error


def _missing(where: str) -> PostScriptMissing:
    return PostScriptMissing(
        f"{where}: the repository has no {ENTRY} at its top: it is the entry point; add it and push"
    )


def _annotated(program: Instrumented, text: bytes) -> Instrumented:
    """With what the comments of its text say of its steps."""
    if b"nodeagent:" not in text:
        return program
    return replace(program, statements=annotated(parse(text), ENTRY, program.statements, whole=program.whole))


def _as_one_step(text: bytes, reason: str) -> Instrumented:
    key = hashlib.sha256(b"whole\0" + text).hexdigest()[:32]
    statement = Statement(number=0, key=key, file=ENTRY, line=1, phase=Phase.EXECUTE, text=f"./{ENTRY}")
    return Instrumented(text=text, statements=(statement,), whole=reason)


def _program(script: Path, text: bytes, by: Interpreter, pipes: Pipes, reporter: Reporter) -> Instrumented:
    """The instrumented program, or the program as one step where it is not understood, and a word about it."""
    program = Instrumented(text=text, whole=_NO_SHELL)
    if by.native and not os.access(script.parent, os.W_OK):
        program = replace(program, whole=f"{script.parent} is read-only, and nothing can take its place for a moment")
    elif by.native:
        program = instrument(parse(text), ENTRY, lambda flags: parse_flags(flags) is not None)
    if not program.whole:
        candidate = pipes.directory / "candidate"
        candidate.write_bytes(with_prelude(program.text, pipes.prelude()))
        if process.check_syntax(by.argv, str(candidate)):
            return replace(program, text=candidate.read_bytes())
        program = replace(program, whole=f"{by.argv[0]} -n refuses it")
    reporter.report(Notice(priority=_NOTICE, text=f"{ENTRY} is run whole, as one step: {program.whole}", path=ENTRY))
    return _as_one_step(text, program.whole)


def _run(
    job: Job,
    script: Path,
    by: Interpreter,
    *,
    program: Instrumented,
    pipes: Pipes,
    steps: Steps,
    mark: process.StepMark,
    settings: Settings,
    stop: threading.Event,
) -> shell.Ended:
    status = steps.begin_whole() if program.whole else None
    if status is not None:
        return shell.Ended(exit_status=status, end=shell.End.EXITED)
    argv = [*by.argv, str(script), *settings.args]
    with _output() as (output, written), _replaced(script, program) as original_back, _orphans_adopted():
        running = process.Process.start(argv, cwd=str(job.directory), environment=settings.environment, output=written)
        os.close(written)
        mark.group = running.pid
        driver = shell.Driver(
            running,
            handler=steps,
            output=output,
            pipes=None if program.whole else pipes,
            hello=original_back,
            stop=stop,
            deadline=time.monotonic() + settings.evaluation_timeout,
            kill_step=lambda signal, since: process.end_descendants(signal, since=since, spare=running.pid),
        )
        try:
            ended = driver.run()
        finally:
            running.end()
        if program.whole and ended.end is shell.End.EXITED:
            steps.request(["ok", "0", str(ended.exit_status)], shell.Stand(cwd="", umask=0, resolved=""))
    return ended


@contextlib.contextmanager
def _replaced(script: Path, program: Instrumented) -> Iterator[Back]:
    if program.whole:
        yield lambda: None
    else:
        with in_place_of(script, program.text) as back:
            yield back


@contextlib.contextmanager
def _output() -> Iterator[tuple[int, int]]:
    """A pipe for what the program writes: its read end, and its write end, which is to be closed once handed on.

    A background process may hold the write end for as long as the node is up, so a reader is left at the other.
    """
    read, write = os.pipe()
    try:
        yield read, write
        if not at_end(read):
            process.leave_drain(read, "postscripts")
    finally:
        os.close(read)


@contextlib.contextmanager
def _orphans_adopted() -> Iterator[None]:
    process.adopt_orphans(True)
    try:
        yield
    finally:
        process.adopt_orphans(False)


def _record(
    job: Job,
    source: Source,
    steps: Steps,
    ended: shell.Ended,
    *,
    number: int,
    reporter: Reporter,
    duration_usec: int,
) -> Evaluation:
    finished = ended.end is shell.End.EXITED
    if finished and job.due.scope is Scope.FULL:
        source.forget(steps.keys)
    source.finish(
        number,
        job.revision,
        boot=job.boot,
        exit_status=ended.exit_status,
        finished=finished,
        settled=ended.end is not shell.End.STOPPED,
        counts={str(change): n for change, n in steps.account.counts.items()},
        duration_usec=duration_usec,
        failed=[*steps.account.failed_native, *source.failed_steps()],
        pending=[*steps.deferred, *(steps.not_reached() if not finished or ended.exit_status else ())],
    )
    counts = {str(change): n for change, n in sorted(steps.account.counts.items())}
    reporter.report(
        EvaluationEnded(
            number=number,
            revision=str(job.revision),
            scope=job.due.scope,
            trigger=job.due.trigger,
            exit_status=ended.exit_status,
            finished=finished,
            counts=counts,
            duration_usec=duration_usec,
        )
    )
    return Evaluation(
        number=number,
        revision=job.revision,
        scope=job.due.scope,
        trigger=job.due.trigger,
        exit_status=ended.exit_status,
        finished=finished,
        counts=counts,
        steps=tuple(steps.account.steps),
        duration_usec=duration_usec,
    )
