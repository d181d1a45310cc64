"""How the steps of an evaluation came out: counted, kept for the result, and told to the reporter."""

import time
from collections import Counter
from collections.abc import Sequence

from nodeagent.model.evaluation import Change, FileChange, Statement, Step
from nodeagent.model.events import Reporter, StepEnded, StepLogged, StepOutput, StepStarted
from nodeagent.steps.frame import Frame

_NOTICE = 5  # logger's own default
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


class Account:
    """The account of one evaluation. ``failed_native``: one line for each COPY, APPEND or WRITE that failed."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._number = 0
        self.counts: Counter[Change] = Counter()
        self.steps: list[Step] = []
        self.failed_native: list[str] = []

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def output(self, number: int, line: str) -> None:
        self._reporter.report(StepOutput(number=number, text=line))

    def logged(self, frame: Frame | None, arguments: Sequence[str]) -> None:
        """Stand in for ``logger [-t TAG] [-p PRIORITY] TEXT...``; once its command has ended, with how it ended."""
        tag, priority, words = "root", _NOTICE, list(arguments)
        while len(words) > 1 and words[0] in {"-t", "-p"}:
            if words[0] == "-t":
                tag = words[1]
            else:
                priority = _PRIORITIES.get(words[1].rpartition(".")[2], priority)
            del words[:2]
        ended = frame is not None and frame.returned is not None
        self._reporter.report(
            StepLogged(
                number=frame.number if frame is not None else 0,
                tag=tag,
                priority=priority,
                text=" ".join(words),
                exit_status=frame.returned if frame is not None else None,
                duration_usec=_since(frame.began) if frame is not None and ended else 0,
            )
        )

    def started(self, frame: Frame) -> None:
        assert frame.statement is not None
        self._reporter.report(
            StepStarted(
                number=frame.number,
                file=frame.statement.file,
                line=frame.statement.line,
                command=frame.command,
                announce=not frame.logged,
                reason=frame.reason,
            )
        )

    def executed(self, frame: Frame, change: Change, *, exit_status: int | None = None, reason: str = "") -> None:
        """An EXECUTE step has come to its end."""
        assert frame.statement is not None
        self.counts[change] += 1
        step = _step(
            frame.statement,
            change,
            command=frame.command,
            exit_status=exit_status,
            reason=reason,
            began=frame.began,
        )
        self._tell(frame.number, step, announce=not frame.logged)

    def left_out(self, statement: Statement, change: Change, reason: str, *, news: bool = True) -> None:
        """An EXECUTE step was reached and not begun."""
        self.counts[change] += 1
        step = _step(statement, change, command=statement.text, reason=reason)
        self._tell(self.next_number(), step, announce=news)

    def placed(self, statement: Statement, change: FileChange, number: int) -> None:
        """A native verb has seen to a destination."""
        self.counts[change.change] += 1
        if change.change is Change.FAILED:
            self.failed_native.append(f"{statement.file}:{statement.line} {statement.text}: {change.reason}")
        self._tell(number, _step(statement, change.change, path=change.path, reason=change.reason))

    def unchanged(self, statement: Statement, destination: str, files: int, *, number: int, began: float) -> None:
        """A COPY found so many files in order; they are counted already."""
        reason = f"{files} unchanged"
        self._tell(number, _step(statement, Change.UNCHANGED, path=destination, reason=reason, began=began))

    def pruned(self, step: Step) -> None:
        """Prune has seen to a destination."""
        self.counts[step.change] += 1
        if step.change is Change.FAILED:
            self.failed_native.append(f"{step.path}: {step.reason}")
        self._tell(self.next_number(), step)

    def _tell(self, number: int, step: Step, *, announce: bool = True) -> None:
        self.steps.append(step)
        self._reporter.report(StepEnded(number=number, step=step, announce=announce))


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1e6)


def _step(
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
        duration_usec=0 if began is None else _since(began),
    )
