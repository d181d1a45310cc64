"""The step engine: does what post.sh's shell asks for, one request at a time.

Here the stages meet: policy says whether a step may run, the native verbs do their work, the ledger remembers, the
reporter tells. It sits between :mod:`nodeagent.reconcile`, which decides that an evaluation takes place, and the
stages, which do not know one another.
"""

import os
import time
from collections import Counter
from pathlib import Path

from nodeagent.apply import process
from nodeagent.apply.paths import is_plain_destination
from nodeagent.evaluate import policy
from nodeagent.evaluate.instrument import Instrumented
from nodeagent.evaluate.shell import Stand
from nodeagent.ledger.sources import AttemptRecord, Source
from nodeagent.ledger.view import View
from nodeagent.model import Change, FileChange, Phase, Reporter, Scope, Statement
from nodeagent.steps.account import Account
from nodeagent.steps.frame import Frame
from nodeagent.steps.native import Native

_REACH_LIMIT = 100_000  # steps of one evaluation; a loop without end is told from work


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
        run_steps: bool,
        evaluation: int,
        reporter: Reporter,
        staging: Path,
        mark: process.StepMark,
        step_timeout: float,
    ) -> None:
        self._program = program
        self._source = source
        self._scope = scope
        self._retry = retry
        self._run_steps = run_steps
        self._evaluation = evaluation
        self._staging = staging
        self._step_timeout = step_timeout
        self.account = Account(reporter)
        self._native = Native(view, self.account, {s.key for s in program.statements})
        self._mark = mark
        self._frames: list[Frame] = []
        self._reached: Counter[str] = Counter()
        self._last_line = 0
        self._last_request = time.monotonic()
        self._began_ticks = process.ticks()

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
                self.account.logged(self._frames[-1] if self._frames else None, arguments)
                return ""
            case _:
                raise ValueError(f"post.sh sent an unknown request: {verb}")

    def output(self, line: str) -> None:
        number = next((frame.number for frame in reversed(self._frames) if frame.number), 0)
        self.account.output(number, line)

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
            self._frames.append(Frame(statement=None, place=number, silent=True))
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

    def _pop(self, place: int) -> Frame:
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
        if verdict.run and not self._run_steps:
            told = Frame(statement=statement, number=self.account.next_number(), command=statement.text)
            self.account.executed(told, Change.EXECUTED, reason=verdict.reason, ran=False)
            return str(verdict.status)
        if verdict.run:
            frame = Frame(
                statement=statement,
                place=number,
                reach=reach,
                number=self.account.next_number(),
                command=statement.text,
                logged=logged,
                nests=logged,
                may_fail=number in self._program.lists,
            )
            self._frames.append(frame)
            self._began_ticks = process.ticks()
            self._mark.set()
            if not logged:
                self.account.started(frame)
            return "run"
        if verdict.adopted:
            self._record(statement, reach, succeeded=True, exit_status=0, statement_status=0)
        skipped = Frame(statement=statement, number=self.account.next_number(), command=statement.text)
        self.account.executed(skipped, Change.SKIPPED, reason=verdict.reason, ran=False)
        return str(verdict.status)

    def _ok(self, place: int, status: int) -> str:
        frame = self._pop(place)
        if not frame.silent:
            self._finish(frame, status, replayed=0 if frame.may_fail else status)
        return ""

    def _finish(self, frame: Frame, status: int, *, replayed: int | None = None, reason: str = "") -> None:
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
        change = Change.EXECUTED if succeeded else Change.FAILED
        self.account.executed(frame, change, exit_status=exit_status, reason=reason)

    def _run(self, arguments: list[str], stand: Stand) -> str:
        self._abandon_from(self._first_left())
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.silent or frame.running:
            # Called where its status is used, or by another function: it always runs, and is told all the same.
            frame = Frame(
                statement=Statement(
                    number=-1, key="", file=self._file(), line=self._last_line, phase=Phase.EXECUTE, text=""
                ),
                number=self.account.next_number(),
                logged=True,
                gated=False,
            )
            self._frames.append(frame)
        frame.command = " ".join(arguments)
        frame.running, frame.nests = True, stand.in_shell
        self.account.started(frame)
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

    # --- COPY, APPEND, WRITE ---

    def _cp(self, number: int, arguments: list[str], stand: Stand) -> str:
        statement = self._program.statements[number]
        self._last_line = statement.line
        status = self._native.copy(statement, self._program.copies[number], arguments, stand)
        return "shell" if status is None else str(status)

    def _to(self, place: int, target: str, stand: Stand) -> str:
        statement = self._program.statements[place]
        self._last_line = statement.line
        if not stand.cwd or not is_plain_destination(target, cwd=stand.cwd):
            self._frames.append(Frame(statement=None, place=place, silent=True, target=target))
            return ""
        staged = None
        resolved = os.path.realpath(os.path.join(stand.cwd, target))
        if os.path.isdir(os.path.dirname(resolved)) or self._native.is_left_absent(resolved):
            staged = self._staging / f"text-{len(self._frames)}"
            staged.unlink(missing_ok=True)
        # Else the redirection fails: its message, its status and what is not run then are the shell's.
        self._frames.append(
            Frame(
                statement=statement,
                place=place,
                number=self.account.next_number(),
                target=target,
                staged=staged,
                stand=stand,
                silent=True,
            )
        )
        return str(staged or "")

    def _tx(self, place: int, status: int) -> str:
        return str(self._native.place(self._pop(place), status))

    # --- a program that is run whole ---

    def begin_whole(self) -> policy.Verdict | None:
        """Gate a program that has no steps of its own; None when it may run."""
        answer = self._gate(0)
        return None if answer == "run" else policy.Verdict(run=False, reason="not due", status=int(answer))

    # --- the end ---

    def shell_ended(self, status: int, *, stopped: bool, expired: bool) -> None:
        """Close what is still open: the shell has ended inside a step."""
        for frame in reversed(self._frames):
            if frame.statement is None:
                continue
            if frame.is_text and not (stopped or expired):
                self._native.place(frame, status)  # what was printed before set -e ended it
            elif frame.is_text:
                reason = f"the shell ended here with status {status}"
                change = FileChange(path=frame.target, change=Change.FAILED, reason=reason)
                self.account.placed(frame.statement, change, frame.number)
            elif stopped:  # not its fault: it is still due
                reason = "the agent was stopped; the step is still due"
                self.account.executed(frame, Change.FAILED, exit_status=status, reason=reason)
            else:
                frame.expired |= expired
                self._finish(frame, status, reason=f"post.sh ended here with status {status}")
        self._frames.clear()
        self._mark.clear()

    def not_reached(self) -> list[str]:
        """``file:line command`` of the EXECUTE statements behind the last one that was reached."""
        return [
            f"{s.file}:{s.line} {s.text}"
            for s in self._program.statements
            if s.phase is Phase.EXECUTE and s.line > self._last_line and not self._reached[s.key]
        ]

    # --- small parts ---

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
