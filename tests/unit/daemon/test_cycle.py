"""The two workers of a cycle, which begins when the test says so: no interval passes, and no patience ends."""

import selectors
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.daemon.cycle import Cycle, Plan
from nodeagent.daemon.schedule import Schedule
from nodeagent.model.events import Event, Looked, Reporter
from nodeagent.model.outcomes import ApplyOutcome, Failure, Mode, PollOutcome
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
        self.mode = Mode.APPLYING
        self.failure: Failure | None = None
        self.others = 0  # how often somebody else has applied something
        self._trail = directory / "trail"
        self._trail.touch()
        self._selector = selector
        self.plan = Plan(
            url="ssh://host/",
            ready_needs_all=False,
            schedule=Schedule(interval=3_600.0, jitter=0, place=0),
            poll=self._poll,
            poll_limit=DEADLINE,
            apply=self._apply,
            apply_limit=DEADLINE,
            mark=lambda: self.others,
            observation_holds=3_600.0,
        )
        self._cycle = Cycle(self.plan, Board(directory, Nowhere(), version="1", url=""), selector)

    def _poll(self, commit: str, reporter: Reporter, _stop: Stop) -> PollOutcome:
        reporter.report(Looked(quiet=True))
        return PollOutcome(commit=self.newest, moved=self.newest != commit)

    def _apply(self, commit: str, _reporter: Reporter, _stop: Stop) -> ApplyOutcome:
        with self._trail.open("a") as trail:
            trail.write(f"{commit}\n")
        pending = ("post.sh:1 RUN x",) if self.mode is Mode.OBSERVING else ()
        return ApplyOutcome(
            mode=self.mode, attempted=commit, applied=commit, ready=True, pending=pending, failure=self.failure
        )

    def applied_in_a_cycle(self, *, renew: Plan | None = None) -> list[str]:
        """The commits that one whole cycle applies, or plans: by another plan, if one is given."""
        before = self._trail.read_text()
        if renew is None:
            self._cycle.begin()
        else:
            self._cycle.plan = renew
            self._cycle.renew()
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


def test_a_node_that_is_observed_is_planned_again_only_for_a_reason(node: Node) -> None:
    node.mode = Mode.OBSERVING
    assert node.applied_in_a_cycle() == ["c1"]
    assert [node.applied_in_a_cycle() for _ in range(4)] == [[]] * 4
    node.newest = "c2"
    assert [node.applied_in_a_cycle() for _ in range(3)] == [["c2"], [], []]
    node.others += 1
    assert [node.applied_in_a_cycle() for _ in range(3)] == [["c2"], [], []]
    assert node.applied_in_a_cycle(renew=node.plan) == ["c2"]
    assert node.applied_in_a_cycle() == []


def test_a_plan_that_is_old_is_made_again(node: Node) -> None:
    node.mode = Mode.OBSERVING
    node.applied_in_a_cycle(renew=replace(node.plan, observation_holds=0.0))
    assert [node.applied_in_a_cycle() for _ in range(2)] == [["c1"], ["c1"]]


@pytest.mark.parametrize(("transient", "again"), [(True, ["c1"]), (False, [])])
def test_a_plan_that_could_not_be_made_is_tried_again_where_that_may_help(
    node: Node, transient: bool, again: list[str]
) -> None:
    node.mode = Mode.OBSERVING
    node.failure = Failure(code="Code", message="m", transient=transient)
    assert node.applied_in_a_cycle() == ["c1"]
    assert node.applied_in_a_cycle() == again
