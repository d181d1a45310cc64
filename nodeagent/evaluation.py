"""One evaluation of one tree: from post.sh's text to the record of how every step came out."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.apply import leftovers, process, takeback
from nodeagent.config import Prune
from nodeagent.errors import AnnotationInvalid
from nodeagent.evaluate import shell
from nodeagent.evaluate.interpreter import Interpreter, interpreter
from nodeagent.evaluate.pipes import Pipes, at_end
from nodeagent.evaluate.policy import Due
from nodeagent.evaluate.sourcing import Note, Sourcing
from nodeagent.evaluate.stand import Stand
from nodeagent.evaluate.stand_in import restore_original
from nodeagent.evaluate.statements import Instrumented
from nodeagent.ledger import staging, statements, undo
from nodeagent.ledger.database import Connection
from nodeagent.ledger.editors import Editors
from nodeagent.ledger.kept import Kept
from nodeagent.ledger.sources import Source
from nodeagent.ledger.view import View
from nodeagent.model.evaluation import Change, Evaluation, Revision, Scope
from nodeagent.model.events import EvaluationEnded, EvaluationStarted, Reporter
from nodeagent.program import ENTRY, prepare, program_text
from nodeagent.steps.due import Judge
from nodeagent.steps.engine import Steps
from nodeagent.steps.prune import Pruner
from nodeagent.steps.units import Units

_KILLED = 128 + 9


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
    keep_bytes: int = 64 * 2**20  # of what a verb replaces or a step has edited; what is larger is noted, not kept
    prune: Prune = "report"
    spared: frozenset[str] = frozenset()  # destinations that drifted and are to stay as they are


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


def restore(directory: Path, state: Path) -> None:
    """Bring back the texts of the repository that a killed agent has left replaced."""
    restore_original(directory / ENTRY)
    Note(state).restore()


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
        AnnotationInvalid: an annotation in it cannot be followed. Nothing has been touched, unless it is in a file that
            only the evaluation itself could name: then it has ended there.
    """
    restore(job.directory, settings.state)
    mark = process.StepMark(settings.runtime)
    mark.end_leftovers()
    staging.forget(connection, leftovers.remove(staging.directories(connection)))
    text = program_text(job.directory)
    by = interpreter(text)
    began = time.monotonic()
    with Pipes.open(settings.runtime) as pipes:
        program = prepare(job.directory, text, by, pipes, reporter)
        number = source.begin(job.revision, boot=job.boot, scope=job.due.scope, trigger=job.due.trigger)
        undo.resume(connection, source.id)
        statements.remember(connection, source.id, number, program.statements)
        reporter.report(
            EvaluationStarted(number=number, revision=str(job.revision), scope=job.due.scope, trigger=job.due.trigger)
        )
        editors = Editors(connection, source.id)
        judge = Judge(source, scope=job.due.scope, boot=job.boot, retry=job.retry, busy=settings.busy)
        units = Units(program, judge, editors, scope=job.due.scope)
        view = View(
            connection,
            source=source.id,
            evaluation=number,
            scope=job.due.scope,
            kept=Kept(settings.state / "kept", limit=settings.keep_bytes, rest=takeback.rest_of),
            spared=settings.spared,
            editors=editors,
            rule=units.rule,
        )
        sourcing = _sourcing(job, program, settings)
        steps = Steps(
            program=program,
            source=source,
            view=view,
            units=units,
            boot=job.boot,
            run_steps=job.run_steps,
            evaluation=number,
            reporter=reporter,
            staging=pipes.directory,
            mark=mark,
            step_timeout=settings.step_timeout,
            holds=sourcing.holds,
        )
        refusal: AnnotationInvalid | None = None
        try:
            ended = _run(
                job, by, program, pipes, sourcing=sourcing, steps=steps, mark=mark, settings=settings, stop=stop
            )
        except AnnotationInvalid as error:  # in a file that only the run itself could name
            refusal, ended = error, shell.Ended(exit_status=_KILLED, end=shell.End.REFUSED)
        if steps.gate.cut_off and ended.end is shell.End.EXITED:
            ended = replace(ended, end=shell.End.EXPIRED)
        stopped = ended.end in {shell.End.STOPPED, shell.End.REFUSED}
        steps.shell_ended(ended.exit_status, stopped=stopped, expired=ended.end is shell.End.EXPIRED)
        view.finish()
        # Only a whole evaluation tells what is not named any more.
        if ended.end is shell.End.EXITED and ended.exit_status == 0 and job.due.scope is not Scope.ADOPT:
            pruner = Pruner(
                connection=connection,
                source=source.id,
                evaluation=number,
                mode=settings.prune,
                steps=steps,
                reporter=reporter,
            )
            pruner.after(program, job.directory)
        if not steps.account.counts[Change.FAILED]:  # what failed may not have been able to clear up
            staging.forget(connection, staging.directories(connection))
    duration_usec = int((time.monotonic() - began) * 1e6)
    done = _record(job, source, steps, ended, number=number, reporter=reporter, duration_usec=duration_usec)
    if refusal is not None:
        raise refusal
    return done


def _run(
    job: Job,
    by: Interpreter,
    program: Instrumented,
    pipes: Pipes,
    *,
    sourcing: Sourcing,
    steps: Steps,
    mark: process.StepMark,
    settings: Settings,
    stop: threading.Event,
) -> shell.Ended:
    status = steps.begin_whole() if program.whole else None
    if status is not None:
        return shell.Ended(exit_status=status, end=shell.End.EXITED)
    argv = [*by.argv, str(job.directory / ENTRY), *settings.args]
    files = contextlib.nullcontext() if program.whole else sourcing
    with _output() as (output, written), files, _orphans_adopted():
        running = process.Process.start(argv, cwd=str(job.directory), environment=settings.environment, output=written)
        os.close(written)
        mark.group = running.pid
        driver = shell.Driver(
            running,
            handler=steps,
            output=output,
            pipes=None if program.whole else pipes,
            files=sourcing.request,
            stop=stop,
            deadline=time.monotonic() + settings.evaluation_timeout,
            kill_step=lambda signal, since: process.end_descendants(signal, since=since, spare=running.pid),
        )
        try:
            ended = driver.run()
        finally:
            running.end()
        if program.whole and ended.end is shell.End.EXITED:
            steps.request(["ok", "0", str(ended.exit_status)], Stand(cwd="", umask=0, resolved=""))
    return ended


def _sourcing(job: Job, program: Instrumented, settings: Settings) -> Sourcing:
    texts = {name: (program.scripts[name].text, text) for name, text in program.sourced.items()}
    note = Note(settings.state)
    return Sourcing(directory=job.directory, entry=ENTRY, text=program.text, sourced=texts, note=note)


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
        settled=ended.end in {shell.End.EXITED, shell.End.EXPIRED},
        counts={str(change): n for change, n in steps.account.counts.items()},
        duration_usec=duration_usec,
        failed=[*steps.account.failed_native, *source.failed_steps()],
        pending=[
            *steps.gate.deferred,
            *steps.native.waiting,
            *(steps.not_reached() if not finished or ended.exit_status else ()),
        ],
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
