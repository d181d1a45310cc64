"""The step engine: does what post.sh's shell asks for, one request at a time.

Here the stages meet: policy says whether a step may run, the native verbs do their work, the ledger remembers, the
reporter tells. It sits between :mod:`nodeagent.reconcile`, which decides that an evaluation takes place, and the
stages, which do not know one another.
"""

import time
from collections.abc import Callable
from pathlib import Path

from nodeagent.apply import process
from nodeagent.evaluate.copy_function import CopyFunction
from nodeagent.evaluate.policy import Action
from nodeagent.evaluate.stand import Stand
from nodeagent.evaluate.statements import Instrumented
from nodeagent.ledger.sources import Source
from nodeagent.ledger.view import View
from nodeagent.model.evaluation import Change, FileChange
from nodeagent.model.events import Reporter
from nodeagent.steps.account import Account
from nodeagent.steps.frame import Frame
from nodeagent.steps.gate import CUT_OFF, ENDS, Gate, label
from nodeagent.steps.native import Native
from nodeagent.steps.reach import Reach
from nodeagent.steps.stack import Stack
from nodeagent.steps.texts import Texts
from nodeagent.steps.units import Units

_EXPIRED = 124  # as of timeout(1)


class Steps:
    """One evaluation's steps; implements :class:`nodeagent.evaluate.shell.Handler`."""

    def __init__(
        self,
        *,
        program: Instrumented,
        source: Source,
        view: View,
        units: Units,
        boot: str,
        run_steps: bool,
        evaluation: int,
        reporter: Reporter,
        staging: Path,
        mark: process.StepMark,
        step_timeout: float,
        holds: Callable[[CopyFunction], bool],
    ) -> None:
        self._program = program
        self._source = source
        self._run_steps = run_steps
        self._staging = staging
        self._step_timeout = step_timeout
        self.account = Account(reporter)
        self.gate = Gate(source, units, self.account, evaluation=evaluation, boot=boot)
        self.keys = {s.key for s in program.statements}
        self.native = Native(view, self.account, statements=self.keys, fresh=program.fresh, holds=holds)
        self._mark = mark
        self._open = Stack(self._abandoned)
        self.texts = Texts(program, self.native, self.account, staging=staging)
        self._reach = Reach(program)
        self._last_request = time.monotonic()
        self._began_ticks = process.ticks()

    # --- Handler ---

    def request(self, words: list[str], stand: Stand) -> str:
        verb, *arguments = words
        if verb in {"st", "sx"}:  # in the middle of a step, whose time goes on
            return self.texts.aside(verb, arguments, stand)
        self._last_request = time.monotonic()
        self._open.keep(stand.texts)
        if not self._program.turns:  # the shell asks, so it waits for no other
            self.texts.end_all()
        match verb:
            case "go":
                return self._go(int(arguments[0]), stand)
            case "ok":
                return self._ok(int(arguments[0]), int(arguments[1]))
            case "to":
                return self._to(int(arguments[0]), arguments[1], stand)
            case "up":
                return ""
            case "tx":
                return self._tx(int(arguments[0]), int(arguments[1]))
            case "cp":
                return self._cp(int(arguments[0]), arguments[2:], stand)
            case "run":
                return self._run(int(arguments[0]), arguments[1:], stand)
            case "ran":
                return self._ran(int(arguments[0]))
            case "log":
                self.account.logged(self._open.innermost, arguments)
                return ""
            case _:
                raise ValueError(f"post.sh sent an unknown request: {verb}")

    def output(self, line: str) -> None:
        number = next((frame.number for frame in self._open if frame.number), 0)
        self.account.output(number, line)

    def expired(self, now: float) -> bool:
        if now - self._last_request < self._limit():
            return False
        for frame in self._open:
            frame.expired = True
        return True

    def _limit(self) -> float:
        """Seconds that what is under way may take without coming to its end."""
        return next((f.limit for f in self._open if f.limit is not None), self._step_timeout)

    def waits(self) -> bool:
        return self.texts.waits

    def started(self) -> int:
        return self._began_ticks

    # --- EXECUTE ---

    def _go(self, number: int, stand: Stand) -> str:
        self._open.begin()
        if stand.in_shell:
            self._open.push(Frame(statement=None, place=number, silent=True))
            return "run"
        return self._gate(number)

    def _gate(self, number: int) -> str:
        statement, logged = self._reach.to(number), number in self._program.logged
        reach = self._reach.times(statement)
        verdict = self.gate.verdict(statement, reach)
        if verdict.action is not Action.RUN:
            self._mark_partial()
            return str(self.gate.leave_out(statement, reach, verdict))
        if not self._run_steps:
            self._mark_partial()
            self.account.left_out(statement, Change.EXECUTED, verdict.reason)
            return "0"
        frame = self.gate.frame(statement, reach, verdict)
        frame.place, frame.logged, frame.nests = number, logged, logged
        frame.may_fail = number in self._program.lists
        self._open.push(frame)
        self._began_ticks = process.ticks()
        self._mark.set()
        if not logged:
            self.account.started(frame)
        return "run"

    def _mark_partial(self) -> None:
        """A step is left out: what it prints is missing from the texts that are being written."""
        for frame in self._open:
            frame.partial |= frame.is_text

    def _ok(self, place: int, status: int) -> str:
        frame = self._open.pop(place)
        if not frame.silent:
            self._finish(frame, status, replayed=0 if frame.may_fail else status)
        return ""

    def _finish(self, frame: Frame, status: int, *, replayed: int | None = None, reason: str = "") -> None:
        """Note how a step ended; ``replayed`` is the status that it has when it is skipped (None: ``status``)."""
        assert frame.statement is not None
        exit_status = status if frame.returned is None else frame.returned
        if frame.expired:
            reason = f"ended after its time limit of {frame.limit or self._step_timeout:g} s"
            exit_status = exit_status or _EXPIRED
        elif exit_status and not reason:
            reason = f"exit status {exit_status}"
        if frame.gated:
            self.gate.record(frame, exit_status=exit_status, statement_status=status if replayed is None else replayed)
        change = Change.EXECUTED if exit_status == 0 else Change.FAILED
        self.account.executed(frame, change, exit_status=exit_status, reason=reason or frame.reason)

    def _abandoned(self, frame: Frame) -> None:
        """The subshell that was in the middle of the step has ended."""
        if frame.is_text:
            self.native.place(frame, 1)  # what it had printed
        else:
            self._finish(frame, 1, reason="the subshell ended in it")

    def _run(self, number: int, arguments: list[str], stand: Stand) -> str:
        self._open.begin()
        frame = self._open.innermost
        if frame is None or frame.silent or frame.running or frame.place != number:
            # Called where its status is used, or with a function: it always runs, and is told all the same.
            frame = Frame(statement=self._reach.to(number), number=self.account.next_number(), logged=True, gated=False)
            self._open.push(frame)
        frame.command = " ".join(arguments)
        frame.running, frame.nests = True, stand.in_shell
        self.account.started(frame)
        return ""

    def _ran(self, status: int) -> str:
        frame = self._open.returned(status)
        if not frame.gated:
            self._finish(frame, status)
        return ""

    # --- COPY, APPEND, WRITE ---

    def _cp(self, number: int, arguments: list[str], stand: Stand) -> str:
        statement = self._reach.to(number)
        status = self.native.copy(statement, self._program.copies[number], arguments, stand)
        if status is None:
            return "shell"
        if not status or number not in self._program.heard:
            return str(status)
        said = self._staging / "said"
        said.write_text(
            self.native.says(self._program.copies[number], arguments, stand, status), errors="surrogateescape"
        )
        return f"{status} {said}"

    def _to(self, place: int, target: str, stand: Stand) -> str:
        frame = self.texts.begin(place, self._reach.to(place), target, stand, name=f"text-{len(self._open)}")
        self._open.push(frame)
        return str(frame.staged or "")

    def _tx(self, place: int, status: int) -> str:
        return str(self.native.place(self._open.pop(place), status))

    # --- a program that is run whole ---

    def begin_whole(self) -> int | None:
        """Gate a program that has no steps of its own: the status that it has without running; None: it may run."""
        answer = self._gate(0)
        return None if answer == "run" else int(answer) % ENDS

    # --- the end ---

    def shell_ended(self, status: int, *, stopped: bool, expired: bool) -> None:
        """Close what is still open: the shell has ended inside a step."""
        self.texts.end_all()
        for frame in self._open:
            if frame.statement is None:
                continue
            if frame.is_text and not (stopped or expired):
                self.native.place(frame, status)  # what was printed before set -e ended it
            elif frame.is_text:
                reason = f"the shell ended here with status {status}"
                change = FileChange(path=frame.target, change=Change.FAILED, reason=reason)
                self.account.placed(frame.statement, change, frame.number)
            elif stopped:  # not its fault: it is still due
                reason = "the agent was stopped; the step is still due"
                self.account.executed(frame, Change.FAILED, exit_status=status, reason=reason)
            elif expired:
                reason = "the evaluation's time limit ended post.sh in it"
                self._finish(frame, status or _EXPIRED, replayed=(status or _EXPIRED) + CUT_OFF, reason=reason)
            else:
                self._finish(frame, status, replayed=status + ENDS, reason=f"post.sh ended here with status {status}")
        self._open.clear()
        self._mark.clear()

    def has_failed(self) -> bool:
        """Whether a step failed in this evaluation, or before it and was not tried again."""
        return bool(self.account.counts[Change.FAILED] or self._source.failed_steps())

    def not_reached(self) -> list[str]:
        """``file:line command: why`` of the steps that are due and stand behind the last one that was reached."""
        verdicts = [(s, self.gate.verdict(s)) for s in self._reach.behind()]
        return [f"{label(s)}: not reached; {v.reason}" for s, v in verdicts if v.action in {Action.RUN, Action.DEFER}]
