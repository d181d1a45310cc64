"""From events to log entries: the texts and fields of both the journal and the console. No I/O."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from nodeagent.model.evaluation import Change, Phase, Step
from nodeagent.model.events import (
    EvaluationEnded,
    EvaluationStarted,
    Event,
    Looked,
    Notice,
    PlannedChange,
    PlannedStep,
    StepEnded,
    StepLogged,
    StepOutput,
    StepStarted,
    TreeChange,
)
from nodeagent.report import catalogue

POSTSCRIPTS = "postscripts"
"""The syslog identifier of all that post.sh does: the one that the guide's own RUN gives to ``logger``."""
AGENT = "nodeagent"
LINE_LIMIT = 48 * 1024
"""Bytes of one entry's text: journald's own limit for a line of a stream."""

ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7  # syslog severities


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a log. ``fields`` are those of the journal beside the usual ones."""

    identifier: str
    priority: int
    message: str
    message_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


class Narrator:
    """Turns events into entries. It remembers which evaluation and which steps it has heard the beginning of."""

    def __init__(self) -> None:
        self._evaluation: dict[str, str] = {}
        self._steps: dict[int, dict[str, str]] = {}

    def entries(self, event: Event) -> Iterator[Entry]:
        """The entries that one event makes, in order; there may be none."""
        match event:
            case EvaluationStarted():
                yield self._evaluation_started(event)
            case EvaluationEnded():
                yield self._evaluation_ended(event)
            case StepStarted():
                yield from self._step_started(event)
            case StepOutput(number=number, text=text):
                yield from self._lines(POSTSCRIPTS, INFO, text, number)
            case StepLogged():
                yield from self._logged(event)
            case StepEnded():
                self._steps.pop(event.number, None)
                yield from self._step_ended(event)
            case Notice():
                yield self._notice(event)
            case PlannedChange() | PlannedStep():
                yield from self._planned(event)
            case Looked() | TreeChange():
                pass  # for the daemon, and for the command line
            case _:
                assert_never(event)

    def _evaluation_started(self, event: EvaluationStarted) -> Entry:
        self._steps.clear()
        self._evaluation = {"NODEAGENT_REVISION": event.revision, "NODEAGENT_EVALUATION": str(event.number)}
        return Entry(
            identifier=POSTSCRIPTS,
            priority=INFO,
            message=f"Evaluation {event.number} of {event.revision} begins ({event.scope}, {event.trigger})",
            message_id=catalogue.EVALUATION_STARTED,
            fields=self._evaluation,
        )

    def _evaluation_ended(self, event: EvaluationEnded) -> Entry:
        counts = ", ".join(f"{count} {change}" for change, count in event.counts.items() if count) or "nothing to do"
        how = "ended" if event.finished else "was broken off"
        bad = not event.finished or event.counts.get(Change.FAILED, 0)
        entry = Entry(
            identifier=POSTSCRIPTS,
            priority=WARNING if bad else INFO,
            message=f"Evaluation {event.number} of {event.revision} {how} with exit status {event.exit_status}"
            f" after {event.duration_usec / 1e6:.1f} s: {counts}",
            message_id=catalogue.EVALUATION_ENDED,
            fields={
                "NODEAGENT_REVISION": event.revision,
                "NODEAGENT_EVALUATION": str(event.number),
                "EXIT_STATUS": str(event.exit_status),
                "DURATION_USEC": str(event.duration_usec),
            },
        )
        self._evaluation = {}
        return entry

    def _step_started(self, event: StepStarted) -> Iterator[Entry]:
        fields = {**self._evaluation, **_place(event.number, event.file, event.line, Phase.EXECUTE)}
        self._steps[event.number] = fields
        if event.announce:
            yield Entry(
                identifier=POSTSCRIPTS,
                priority=INFO,
                message=f"Running {event.command}...",
                message_id=catalogue.STEP_STARTED,
                fields=fields,
            )
        if event.reason:
            yield Entry(
                identifier=POSTSCRIPTS, priority=DEBUG, message=f"{event.command}: runs: {event.reason}", fields=fields
            )

    def _step_ended(self, event: StepEnded) -> Iterator[Entry]:
        step = event.step
        fields = {
            **self._evaluation,
            **_place(event.number, step.file, step.line, step.phase),
            "NODEAGENT_CHANGE": step.change,
        }
        if step.path is not None:
            fields["NODEAGENT_PATH"] = step.path
        if step.exit_status is not None:
            fields["EXIT_STATUS"] = str(step.exit_status)
        if step.duration_usec:
            fields["DURATION_USEC"] = str(step.duration_usec)
        ran = step.phase is Phase.EXECUTE and step.change in {Change.EXECUTED, Change.FAILED}
        texts = _ran(step, announce=event.announce) if ran else [_came_out(step, news=event.announce)]
        for priority, message, message_id in texts:
            yield Entry(
                identifier=POSTSCRIPTS, priority=priority, message=message, message_id=message_id, fields=fields
            )

    def _logged(self, event: StepLogged) -> Iterator[Entry]:
        for entry in self._lines(event.tag, event.priority, event.text, event.number):
            fields = dict(entry.fields)
            if event.exit_status is not None:
                fields["EXIT_STATUS"] = str(event.exit_status)
                fields["DURATION_USEC"] = str(event.duration_usec)
            yield replace(entry, fields=fields)

    def _planned(self, event: PlannedChange | PlannedStep) -> Iterator[Entry]:
        """What an observing daemon says; a destination or step that nothing would happen to is not worth a line."""
        place = f"{event.file}:{event.line}"
        fields = {"NODEAGENT_FILE": event.file, "NODEAGENT_LINE": str(event.line)}
        if isinstance(event, PlannedStep):
            text, news = f"{event.command}: would run", event.would_run
            fields["NODEAGENT_PHASE"] = Phase.EXECUTE
        else:
            text, news = f"{event.path}: would be {event.change}", event.change is not Change.UNCHANGED
            fields |= {"NODEAGENT_PHASE": event.phase, "NODEAGENT_CHANGE": event.change, "NODEAGENT_PATH": event.path}
        if news:
            message = f"{text} ({place}{f': {event.reason}' if event.reason else ''})"
            yield Entry(identifier=AGENT, priority=INFO, message=message, message_id=catalogue.PLANNED, fields=fields)

    def _lines(self, identifier: str, priority: int, text: str, number: int) -> Iterator[Entry]:
        fields = self._steps.get(number, self._evaluation)
        for piece in _pieces(text):
            yield Entry(identifier=identifier, priority=priority, message=piece, fields=fields)

    def _notice(self, event: Notice) -> Entry:
        problem = catalogue.PROBLEM if event.priority <= WARNING else catalogue.PROBLEM_ENDED
        fields = dict(self._evaluation)
        if event.code:
            fields["NODEAGENT_CODE"] = event.code
        if event.path:
            fields["NODEAGENT_PATH"] = event.path
        return Entry(
            identifier=AGENT,
            priority=event.priority,
            message=event.text,
            message_id=problem if event.code else "",
            fields=fields,
        )


def _place(number: int, file: str, line: int, phase: Phase) -> dict[str, str]:
    return {
        "NODEAGENT_STEP": str(number),
        "NODEAGENT_FILE": file,
        "NODEAGENT_LINE": str(line),
        "NODEAGENT_PHASE": phase,
    }


def _ran(step: Step, *, announce: bool) -> Iterator[tuple[int, str, str]]:
    """What is said of a command that ran: in the words of the guide's RUN, unless post.sh has said them itself."""
    command, status = step.command or f"{step.file}:{step.line}", step.exit_status
    bad = step.change is Change.FAILED
    if not announce and not bad:
        yield DEBUG, f"{command}: {step.change}", catalogue.STEP_ENDED
        return
    if bad and (step.reason or status is None or not announce):
        yield ERROR, f"{command}: failed: {step.reason or f'exit status {status}'}", catalogue.STEP_FAILED
    if not announce or status is None:
        return
    if bad and status == 1:
        yield ERROR, f"{command} failed with error code {status}", catalogue.STEP_FAILED
    elif bad and status:
        yield ERROR, f"{command} exited with error code {status}", catalogue.STEP_FAILED
    yield INFO, f"{command} exited with code {status}", catalogue.STEP_ENDED


def _came_out(step: Step, *, news: bool) -> tuple[int, str, str]:
    """What is said of a native verb's work, and of a command that did not run; ``news``: for the first time."""
    what = step.command or "" if step.phase is Phase.EXECUTE else f"{step.phase} {step.path or step.command or ''}"
    message = f"{what.strip() or f'{step.file}:{step.line}'}: {step.change}"
    if step.reason:
        message += f": {step.reason}"
    match step.change:
        case Change.CREATED | Change.UPDATED | Change.PRUNED | Change.EXECUTED:
            return INFO, message, catalogue.DESTINATION_CHANGED
        case Change.UNCHANGED | Change.SKIPPED:
            return DEBUG, message, catalogue.STEP_LEFT_OUT
        case Change.DEFERRED:
            return NOTICE if news else DEBUG, message, catalogue.STEP_LEFT_OUT
        case Change.FAILED:
            return ERROR, message, catalogue.STEP_FAILED
        case _:
            assert_never(step.change)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most :data:`LINE_LIMIT` bytes, no character torn apart."""
    raw = os.fsencode(text)
    while len(raw) > LINE_LIMIT:
        cut = LINE_LIMIT
        while cut > LINE_LIMIT - 4 and raw[cut] & 0xC0 == 0x80:  # in the middle of a character of UTF-8
            cut -= 1
        yield os.fsdecode(raw[:cut])
        raw = raw[cut:]
    yield os.fsdecode(raw)
