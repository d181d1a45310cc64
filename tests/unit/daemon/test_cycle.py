"""The two workers of a cycle, which begins when the test says so: no interval passes, and no patience ends."""

import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.daemon.cycle import Cycle, Plan
from nodeagent.daemon.schedule import Schedule
from nodeagent.model import ApplyOutcome, Event, Looked, Mode, PollOutcome, Reporter
from nodeagent.report.board import Board
from nodeagent.workers.stop import Stop
from nodeagent.workers.worker import Worker

DEADLINE = 20.0


class Nowhere:
    def report(self, event: Event) -> None:
        pass


class Node:
    """A node that every poll worker finds quiet, in cycles one after the other."""

    def __init__(self, directory: Path, selector: selectors.BaseSelector) -> None:
        self.newest = "c1"
        self.others = 0  # how often somebody else has applied something
        self._trail = directory / "trail"
        self._trail.touch()
        self._selector = selector
        plan = Plan(
            url="ssh://host/",
            ready_needs_all=False,
            schedule=Schedule(interval=3_600.0, jitter=0, place=0),
            poll=self._poll,
            poll_limit=DEADLINE,
            apply=self._apply,
            apply_limit=DEADLINE,
            mark=lambda: self.others,
        )
        self._cycle = Cycle(plan, Board(directory, Nowhere(), version="1", url=""), selector)

    def _poll(self, commit: str, reporter: Reporter, _stop: Stop) -> PollOutcome:
        reporter.report(Looked(quiet=True))
        return PollOutcome(commit=self.newest, moved=self.newest != commit)

    def _apply(self, commit: str, _reporter: Reporter, _stop: Stop) -> ApplyOutcome:
        with self._trail.open("a") as trail:
            trail.write(f"{commit}\n")
        return ApplyOutcome(mode=Mode.APPLYING, attempted=commit, applied=commit, ready=True)

    def applied_in_a_cycle(self) -> list[str]:
        """The commits that one whole cycle applies."""
        before = self._trail.read_text()
        self._cycle.begin()
        while not self._cycle.idle:
            ready = self._selector.select(DEADLINE)
            assert ready, "no worker says anything"
            for key, _ in ready:
                assert isinstance(key.fileobj, Worker)
                self._cycle.advance(key.fileobj)
        return self._trail.read_text().removeprefix(before).split()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with selectors.DefaultSelector() as selector:
        yield Node(tmp_path, selector)


def test_a_quiet_node_is_left_alone_until_a_commit_or_somebody_else_comes(node: Node) -> None:
    assert node.applied_in_a_cycle() == ["c1"]
    assert [node.applied_in_a_cycle() for _ in range(4)] == [[]] * 4
    node.newest = "c2"
    assert [node.applied_in_a_cycle() for _ in range(3)] == [["c2"], [], []]
    node.others += 1
    assert [node.applied_in_a_cycle() for _ in range(3)] == [["c2"], [], []]
