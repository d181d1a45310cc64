import io

import pytest

from nodeagent.model.evaluation import Change, Phase, Step
from nodeagent.model.events import Event, Notice, StepEnded, StepOutput
from nodeagent.report.console import ConsoleReporter

UNCHANGED = StepEnded(
    number=1,
    step=Step(file="post.sh", line=1, phase=Phase.COPY, change=Change.UNCHANGED, path="/etc/x"),
    announce=True,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *events: Event, verbose: bool = False) -> str:
    reporter = ConsoleReporter(stream, verbose=verbose)
    for event in events:
        reporter.report(event)
    return stream.getvalue()


def test_a_line_an_entry_and_no_colour_in_a_file() -> None:
    events = StepOutput(number=0, text="hello"), Notice(priority=3, text="bad")
    assert shown(io.StringIO(), *events) == "postscripts: hello\nnodeagent: bad\n"


def test_problems_are_in_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert shown(Terminal(), Notice(priority=3, text="bad")) == "\33[31mnodeagent: bad\33[0m\n"
    monkeypatch.setenv("NO_COLOR", "")
    assert shown(Terminal(), Notice(priority=3, text="bad")) == "nodeagent: bad\n"


def test_what_was_left_as_it_is_is_said_only_when_asked() -> None:
    assert shown(io.StringIO(), UNCHANGED) == ""
    assert shown(io.StringIO(), UNCHANGED, verbose=True) == "postscripts: COPY /etc/x: unchanged\n"


def test_bytes_that_are_no_utf_8_are_shown_as_such() -> None:
    assert shown(io.StringIO(), StepOutput(number=0, text="a\udcff")) == "postscripts: a\N{REPLACEMENT CHARACTER}\n"


def test_a_stream_that_takes_nothing_stops_nobody() -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it tells the error once more
    reporter = ConsoleReporter(full)
    for number in range(2000):  # more than any buffer holds
        reporter.report(Notice(priority=3, text=f"{number} bad"))
    with pytest.raises(OSError, match="No space left on device"):
        full.close()
