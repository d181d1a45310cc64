"""The step engine: does what post.sh's shell asks for, one request at a time.

Here the stages meet: policy says whether a step may run, the native verbs do their work, the ledger remembers, the
reporter tells. It sits between :mod:`nodeagent.reconcile`, which decides that an evaluation takes place, and the
stages, which do not know one another.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.apply import append, copy, process, write
from nodeagent.apply.paths import is_plain_destination
from nodeagent.apply.rsync import CopyOptions, is_local
from nodeagent.apply.rsync import parse as parse_flags
from nodeagent.evaluate import policy
from nodeagent.evaluate.instrument import CopyCall, Instrumented
from nodeagent.evaluate.shell import Stand
from nodeagent.ledger.destinations import View
from nodeagent.ledger.sources import AttemptRecord, Source
from nodeagent.model import (
    Change,
    FileChange,
    Phase,
    Reporter,
    Scope,
    Statement,
    Step,
    StepEnded,
    StepLogged,
    StepOutput,
    StepStarted,
)

TEXT_LIMIT = 64 * 2**20  # bytes that one statement may append or write
_REACH_LIMIT = 100_000  # steps of one evaluation; a loop without end is told from work
_PRIORITIES = {
    name: number
    for number, names in enumerate(
        (
            ("emerg", "panic"),
            ("alert",),
            ("crit",),
            ("err", "error"),
            ("warning", "warn"),
            ("notice",),
            ("info",),
            ("debug",),
        )
    )
    for name in names
}


@dataclass(slots=True, kw_only=True)
class _Frame:
    """A step that has begun. ``silent`` ones are only paired with their end: no gate stood before them.

    ``place`` is the statement's number in the program, which its end names too; -1 without a gate.
    """

    statement: Statement | None
    place: int = -1
    reach: int = 0
    number: int = 0
    began: float = field(default_factory=time.monotonic)
    command: str = ""
    silent: bool = False
    logged: bool = False  # the function around it logs for itself
    gated: bool = True
    running: bool = False  # the command inside a RUN function has begun
    nests: bool = False  # code of the shell itself runs in it, which may reach further steps
    may_fail: bool = False  # ``set -e`` lets it
    returned: int | None = None  # of the command inside a RUN function
    expired: bool = False
    target: str = ""
    staged: Path | None = None
    stand: Stand | None = None


class Steps:
    """One evaluation's steps; implements :class:`nodeagent.evaluate.shell.Handler`."""

    def __init__(
        self,
        *,
        program: Instrumented,
        source: Source,
        view: View,
        scope: Scope,
        retry: bool,
        evaluation: int,
        reporter: Reporter,
        staging: Path,
        step_timeout: float,
    ) -> None:
        self._program = program
        self._source = source
        self._view = view
        self._scope = scope
        self._retry = retry
        self._evaluation = evaluation
        self._reporter = reporter
        self._staging = staging
        self._step_timeout = step_timeout
        self._appends = append.Appends(statements={s.key for s in program.statements})
        self._frames: list[_Frame] = []
        self._reached: Counter[str] = Counter()
        self._last_line = 0
        self._number = 0
        self._ended: Step | None = None  # a RUN's step, until its function has logged how it ended
        self._last_request = time.monotonic()
        self._began_ticks = process.ticks()
        self.counts: Counter[Change] = Counter()
        self.steps: list[Step] = []
        self.failed_native: list[str] = []

    # --- Handler ---

    def request(self, words: list[str], stand: Stand) -> str:
        self._last_request = time.monotonic()
        verb, *arguments = words
        match verb:
            case "go":
                return self._go(int(arguments[0]), stand)
            case "ok":
                return self._ok(int(arguments[0]), int(arguments[1]))
            case "to":
                return self._to(int(arguments[0]), arguments[1], stand)
            case "tx":
                return self._tx(int(arguments[0]), int(arguments[1]))
            case "cp":
                return self._cp(int(arguments[0]), arguments[2:], stand)
            case "run":
                return self._run(arguments, stand)
            case "ran":
                return self._ran(int(arguments[0]))
            case "log":
                return self._log(arguments)
            case _:
                raise ValueError(f"post.sh sent an unknown request: {verb}")

    def output(self, line: str) -> None:
        number = next((frame.number for frame in reversed(self._frames) if frame.number), 0)
        self._reporter.report(StepOutput(number=number, text=line))

    def expired(self, now: float) -> bool:
        if now - self._last_request < self._step_timeout:
            return False
        for frame in self._frames:
            frame.expired = True
        return True

    def started(self) -> int:
        return self._began_ticks

    # --- EXECUTE ---

    def _go(self, number: int, stand: Stand) -> str:
        self._abandon_from(self._first_left())
        if stand.in_shell:
            self._frames.append(_Frame(statement=None, place=number, silent=True))
            return "run"
        return self._gate(number)

    def _first_left(self) -> int:
        """The first open step in which no other can begin: its own subshell has ended in it (``set -e``)."""
        outer = (n for n, frame in enumerate(self._frames) if not (frame.silent or frame.nests))
        return next(outer, len(self._frames))

    def _abandon_from(self, index: int) -> None:
        """Close steps whose end can no longer come."""
        for frame in reversed(self._frames[index:]):
            if not frame.silent:
                frame.returned = None
                self._finish(frame, 1, reason="the subshell ended in it")
        del self._frames[index:]

    def _pop(self, place: int) -> _Frame:
        """The frame of the step that ends; what was opened in it and never came to its end goes first."""
        index = next(n for n in reversed(range(len(self._frames))) if self._frames[n].place == place)
        self._abandon_from(index + 1)
        return self._frames.pop()

    def _gate(self, number: int) -> str:
        statement, logged = self._program.statements[number], number in self._program.logged
        self._reached[statement.key] += 1
        reach = self._reached[statement.key]
        self._last_line = statement.line
        if self._reached.total() > _REACH_LIMIT:
            raise ValueError(f"{statement.file}:{statement.line}: more than {_REACH_LIMIT} steps: a loop without end?")
        verdict = policy.step(self._scope, self._attempt(statement.key, reach), retry=self._retry)
        if verdict.run:
            frame = _Frame(
                statement=statement,
                place=number,
                reach=reach,
                number=self._next(),
                command=statement.text,
                logged=logged,
                nests=logged,
                may_fail=number in self._program.lists,
            )
            self._frames.append(frame)
            self._began_ticks = process.ticks()
            if not logged:
                self._start(frame)
            return "run"
        if verdict.adopted:
            self._record(statement, reach, succeeded=True, exit_status=0, statement_status=0)
        self._end(statement, Change.SKIPPED, number=self._next(), command=statement.text, reason=verdict.reason)
        return str(verdict.status)

    def _ok(self, place: int, status: int) -> str:
        frame = self._pop(place)
        if not frame.silent:
            self._finish(frame, status, replayed=0 if frame.may_fail else status)
        return ""

    def _finish(self, frame: _Frame, status: int, *, replayed: int | None = None, reason: str = "") -> None:
        """Note how a step ended; ``replayed`` is the status that it has when it is skipped (None: ``status``)."""
        assert frame.statement is not None
        exit_status = status if frame.returned is None else frame.returned
        if frame.expired:
            reason = f"ended after its time limit of {self._step_timeout:g} s"
            exit_status = exit_status or 124
        elif exit_status and not reason:
            reason = f"exit status {exit_status}"
        succeeded = exit_status == 0
        if frame.gated:
            self._record(
                frame.statement,
                frame.reach,
                succeeded=succeeded,
                exit_status=exit_status,
                statement_status=status if replayed is None else replayed,
            )
        self._end(
            frame.statement,
            Change.EXECUTED if succeeded else Change.FAILED,
            number=frame.number,
            command=frame.command,
            exit_status=exit_status,
            reason=reason,
            began=frame.began,
            announce=not frame.logged,
        )

    def _run(self, arguments: list[str], stand: Stand) -> str:
        self._abandon_from(self._first_left())
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.silent or frame.running:
            # Called where its status is used, or by another function: it always runs, and is told all the same.
            frame = _Frame(
                statement=Statement(
                    number=-1, key="", file=self._file(), line=self._last_line, phase=Phase.EXECUTE, text=""
                ),
                number=self._next(),
                logged=True,
                gated=False,
            )
            self._frames.append(frame)
        frame.command = " ".join(arguments)
        frame.running, frame.nests = True, stand.in_shell
        self._start(frame)
        return ""

    def _ran(self, status: int) -> str:
        index = next(n for n in reversed(range(len(self._frames))) if self._frames[n].running)
        self._abandon_from(index + 1)
        frame = self._frames[index]
        frame.returned, frame.nests = status, True
        if not frame.gated:
            self._frames.pop()
            self._finish(frame, status)
        return ""

    def _log(self, arguments: list[str]) -> str:
        tag, priority, words = "root", 5, list(arguments)
        while len(words) > 1 and words[0] in {"-t", "-p"}:
            if words[0] == "-t":
                tag = words[1]
            else:
                priority = _PRIORITIES.get(words[1].rpartition(".")[2], priority)
            del words[:2]
        number = self._frames[-1].number if self._frames else 0
        self._reporter.report(StepLogged(number=number, tag=tag, priority=priority, text=" ".join(words)))
        return ""

    # --- COPY, APPEND, WRITE ---

    def _cp(self, number: int, arguments: list[str], stand: Stand) -> str:
        statement, call = self._program.statements[number], self._program.copies[number]
        self._last_line = statement.line
        operands = arguments[:2] if call.function is not None else arguments[len(call.flags) :]
        options = parse_flags(call.flags)
        as_read = stand.in_shell == (call.function is not None)  # else the name means something else by now
        if options is None or len(operands) < 2 or not all(map(is_local, operands)) or not stand.cwd or not as_read:
            return "shell"
        return str(self._native_copy(statement, call, operands, options, stand))

    def _native_copy(
        self, statement: Statement, call: CopyCall, operands: list[str], options: CopyOptions, stand: Stand
    ) -> int:
        number, began = self._next(), time.monotonic()
        self._view.statement = statement
        unchanged = 0

        def report(change: FileChange) -> None:
            nonlocal unchanged
            if change.change is Change.UNCHANGED:
                unchanged += 1
                self.counts[Change.UNCHANGED] += 1
                return
            self._native(statement, change, number)

        function = call.function
        status = copy.copy(
            operands[:-1],
            operands[-1],
            cwd=stand.cwd,
            umask=stand.umask,
            options=options,
            make_parent=function is not None and function.makes_parent,
            destinations=self._view,
            report=report,
        )
        self._view.flush()
        if status == 0 and unchanged:
            step = self._step(
                statement, Change.UNCHANGED, path=operands[-1], reason=f"{unchanged} unchanged", began=began
            )
            self.steps.append(step)
            self._reporter.report(StepEnded(number=number, step=step, announce=True))
        return status

    def _to(self, number: int, target: str, stand: Stand) -> str:
        statement = self._program.statements[number]
        self._last_line = statement.line
        if not stand.cwd or not is_plain_destination(target, cwd=stand.cwd):
            self._frames.append(_Frame(statement=None, place=number, silent=True, target=target))
            return ""
        staged = self._staging / f"text-{len(self._frames)}"
        staged.unlink(missing_ok=True)
        self._frames.append(
            _Frame(
                statement=statement,
                place=number,
                number=self._next(),
                target=target,
                staged=staged,
                stand=stand,
                silent=True,
            )
        )
        return str(staged)

    def _tx(self, place: int, status: int) -> str:
        return str(self._place(self._pop(place), status))

    def _place(self, frame: _Frame, status: int) -> int:
        """Place the text of a step that has ended with a status; returns the one that it comes to have."""
        if frame.staged is None or frame.statement is None or frame.stand is None:
            return status
        statement, stand = frame.statement, frame.stand
        text = _read_limited(frame.staged)
        self._view.statement = statement
        if text is None:
            path = os.path.join(stand.cwd, frame.target)
            change = FileChange(path=path, change=Change.FAILED, reason=f"more than {TEXT_LIMIT} bytes of text")
        elif statement.phase is Phase.APPEND:
            change = append.append(
                frame.target,
                cwd=stand.cwd,
                text=text,
                statement=statement.key,
                umask=stand.umask,
                destinations=self._view,
                session=self._appends,
            )
        else:
            change = write.write(frame.target, cwd=stand.cwd, text=text, umask=stand.umask, destinations=self._view)
        self._view.flush()
        if status and change.change is not Change.FAILED:
            reason = f"{statement.text}: exit status {status}"
            change = FileChange(path=change.path, change=Change.FAILED, reason=reason)
        self._native(statement, change, frame.number)
        return status or (1 if change.change is Change.FAILED else 0)

    def _native(self, statement: Statement, change: FileChange, number: int) -> None:
        self.counts[change.change] += 1
        if change.change is Change.FAILED:
            self.failed_native.append(f"{statement.file}:{statement.line} {statement.text}: {change.reason}")
        step = self._step(statement, change.change, path=change.path, reason=change.reason)
        self.steps.append(step)
        self._reporter.report(StepEnded(number=number, step=step, announce=True))

    # --- a program that is run whole ---

    def begin_whole(self) -> policy.Verdict | None:
        """Gate a program that has no steps of its own; None when it may run."""
        answer = self._gate(0)
        return None if answer == "run" else policy.Verdict(run=False, reason="not due", status=int(answer))

    # --- the end ---

    def shell_ended(self, status: int, *, stopped: bool, expired: bool) -> None:
        """Close what is still open: the shell has ended inside a step."""
        for frame in reversed(self._frames):
            if frame.statement is None or (frame.silent and frame.staged is None):
                continue
            if frame.staged is not None and not (stopped or expired):
                self._place(frame, status)  # what was printed before set -e ended it
            elif frame.staged is not None:
                reason = f"the shell ended here with status {status}"
                self._native(
                    frame.statement,
                    FileChange(path=frame.target, change=Change.FAILED, reason=reason),
                    frame.number,
                )
            elif stopped:  # not its fault: it is still due
                self._end(
                    frame.statement,
                    Change.FAILED,
                    number=frame.number,
                    command=frame.command,
                    exit_status=status,
                    reason="the agent was stopped; the step is still due",
                    began=frame.began,
                )
            else:
                frame.expired |= expired
                self._finish(frame, status, reason=f"post.sh ended here with status {status}")
        self._frames.clear()

    def not_reached(self) -> list[str]:
        """``file:line command`` of the EXECUTE statements behind the last one that was reached."""
        return [
            f"{s.file}:{s.line} {s.text}"
            for s in self._program.statements
            if s.phase is Phase.EXECUTE and s.line > self._last_line and not self._reached[s.key]
        ]

    # --- small parts ---

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _file(self) -> str:
        return self._program.statements[0].file if self._program.statements else "post.sh"

    def _attempt(self, key: str, reach: int) -> policy.Attempt | None:
        found = self._source.attempt(key, reach)
        if found is None:
            return None
        return policy.Attempt(
            succeeded=found.succeeded, exit_status=found.exit_status, statement_status=found.statement_status
        )

    def _record(
        self, statement: Statement, reach: int, *, succeeded: bool, exit_status: int, statement_status: int
    ) -> None:
        self._source.record(
            statement.key,
            reach,
            AttemptRecord(succeeded=succeeded, exit_status=exit_status, statement_status=statement_status),
            label=f"{statement.file}:{statement.line} {statement.text}",
            evaluation=self._evaluation,
        )

    def _start(self, frame: _Frame) -> None:
        assert frame.statement is not None
        self._reporter.report(
            StepStarted(
                number=frame.number,
                file=frame.statement.file,
                line=frame.statement.line,
                command=frame.command,
                announce=not frame.logged,
            )
        )

    def _end(
        self,
        statement: Statement,
        change: Change,
        *,
        number: int,
        command: str,
        exit_status: int | None = None,
        reason: str = "",
        began: float | None = None,
        announce: bool = True,
    ) -> None:
        self.counts[change] += 1
        step = self._step(statement, change, command=command, exit_status=exit_status, reason=reason, began=began)
        self.steps.append(step)
        self._reporter.report(StepEnded(number=number, step=step, announce=announce))

    def _step(
        self,
        statement: Statement,
        change: Change,
        *,
        path: str | None = None,
        command: str | None = None,
        exit_status: int | None = None,
        reason: str = "",
        began: float | None = None,
    ) -> Step:
        return Step(
            file=statement.file,
            line=statement.line,
            phase=statement.phase,
            change=change,
            path=path,
            command=command,
            exit_status=exit_status,
            reason=reason,
            duration_usec=0 if began is None else int((time.monotonic() - began) * 1e6),
        )


def _read_limited(path: Path) -> bytes | None:
    """The staged text; empty when the statement never came to write it; None when it is too long."""
    try:
        with path.open("rb") as file:
            text = file.read(TEXT_LIMIT + 1)
    except FileNotFoundError:
        return b""
    path.unlink()
    return text if len(text) <= TEXT_LIMIT else None
