"""A daemon that only observes: it polls, plans, reports what is news, and touches nothing."""

import os

import pytest

from nodeagent import node
from nodeagent.cli.run import plan_of
from nodeagent.ledger import database, watch
from nodeagent.model.events import Notice, PlannedChange, PlannedStep
from nodeagent.model.outcomes import ApplyOutcome, Mode
from nodeagent.workers import worker
from tests.integration.conftest import Recorder


class Observer:
    def __init__(self, site):
        self.site = site
        self.root = site.directory / "root"
        self.root.mkdir()
        self.settings = {"mode": "observe"}
        self.recorder = Recorder()

    def push(self, body):
        return self.site.repository.commit({"post.sh": f"#!/bin/sh\nD={self.root}\n{body}\n"})

    def cycle(self, **settings) -> ApplyOutcome:
        config = self.site.config(**{"jobs": {"probe": "none"}} | (settings or self.settings))
        found, _ = self.site.poll(config, "")
        self.recorder = Recorder()
        outcome = worker.run(
            "apply", lambda r, s: plan_of(config).apply(found.commit, r, s), self.recorder, time_limit=50
        )
        assert isinstance(outcome, ApplyOutcome), outcome
        return outcome

    def is_quiet(self):
        """Whether the daemon's next cycle would leave it at this plan."""
        return watch.look(self.site.config().paths.runtime, node.boot_id()) is not None

    def said(self):
        kinds = (PlannedChange, PlannedStep)
        return [e.path if isinstance(e, PlannedChange) else e.command for e in self.recorder.events if type(e) in kinds]


@pytest.fixture
def observer(site):
    return Observer(site)


def test_it_says_what_it_would_do_once_and_touches_nothing(observer):
    observer.push("echo x >$D/x\ntouch $D/touched")
    first = observer.cycle()
    assert (first.mode, first.failure, first.applied) == (Mode.OBSERVING, None, "")
    assert first.planned == "1 destinations would change, 1 steps would run"
    assert first.pending == ("post.sh:4 touch $D/touched",)
    assert observer.said() == [f"{observer.root}/x", "touch $D/touched"]
    assert sum(isinstance(e, Notice) for e in observer.recorder.events) == 1
    second = observer.cycle()
    assert (second.planned, observer.recorder.events) == (first.planned, [])
    assert os.listdir(observer.root) == []
    assert not (observer.site.directory / "state").exists()
    assert not (observer.site.directory / "configs").exists()


def test_another_plan_is_news(observer):
    observer.push("echo x >$D/x")
    observer.cycle()
    observer.push("echo x >$D/x\necho y >$D/y")
    assert observer.cycle().drifted == 2
    assert observer.said() == [f"{observer.root}/x", f"{observer.root}/y"]


def test_what_was_applied_before_is_known_and_a_settled_node_has_nothing_planned(observer):
    commit = observer.push("echo x >$D/x\ntouch $D/touched")
    assert observer.cycle(first_start="apply").mode is Mode.APPLYING
    settled = observer.cycle()
    assert (settled.applied, settled.ready) == (f"main@sha1:{commit}", True)
    assert settled.planned == "0 destinations would change, 0 steps would run"
    (observer.root / "x").write_text("drifted\n")
    assert observer.cycle().planned == "1 destinations would change, 0 steps would run"
    assert (observer.root / "x").read_text() == "drifted\n"


def test_a_first_start_on_a_node_in_use_plans_too(observer):
    observer.push("echo x >$D/x")
    outcome = observer.cycle(first_start="observe")
    assert (outcome.mode, outcome.drifted) == (Mode.OBSERVING, 1)
    assert observer.said() == [f"{observer.root}/x"]
    assert os.listdir(observer.root) == []


def test_a_revision_that_cannot_be_planned_is_a_failure(observer):
    observer.site.repository.commit({"README.md": "no post.sh"})
    outcome = observer.cycle()
    assert outcome.failure is not None
    assert outcome.failure.code == "PostScriptMissing"


def test_a_plan_holds_until_what_it_looked_at_is_otherwise(observer):
    observer.push("echo x >$D/x\necho same >$D/same\ntouch $D/touched")
    (observer.root / "same").write_text("same\n")
    observer.cycle()
    assert observer.is_quiet()
    (observer.root / "x").write_text("by hand\n")
    assert not observer.is_quiet()
    observer.cycle()
    assert observer.is_quiet()
    (observer.root / "same").write_text("by hand\n")
    assert not observer.is_quiet()


def test_a_plan_holds_until_somebody_applies_something(observer):
    observer.push("touch $D/touched")
    observer.cycle()
    runtime = observer.site.config().paths.runtime
    looked = (runtime / "watch").read_bytes()
    assert observer.is_quiet()
    observer.cycle(first_start="apply")
    (runtime / "watch").write_bytes(looked)  # as if the plan had ended just after the apply
    assert not observer.is_quiet()


def test_what_cannot_be_planned_is_not_tried_again_before_something_changed(observer):
    observer.site.repository.commit({"README.md": "no post.sh"})
    assert observer.cycle().failure.code == "PostScriptMissing"
    assert observer.is_quiet()


def test_while_another_agent_is_at_work_the_plan_is_tried_again(observer):
    observer.push("touch $D/touched")
    observer.cycle(first_start="apply")
    with database.opened(observer.site.config().paths.state, wait=False, warn=print):
        assert observer.cycle().failure.code == "NotNow"
    assert not observer.is_quiet()


def test_a_job_neither_hides_what_would_run_when_it_has_ended_nor_makes_another_plan(observer):
    observer.push("touch $D/touched")
    job = {"probe": "command", "command": ["/bin/sh", "-c", "echo job 7; exit 1"]}
    busy = observer.cycle(mode="observe", jobs=job)
    assert busy.pending == ("post.sh:3 touch $D/touched",)
    free = observer.cycle()
    assert (free.pending, observer.recorder.events) == (busy.pending, [])


def test_what_a_job_held_back_in_an_apply_is_planned_although_it_still_runs(observer):
    observer.push("touch $D/touched")
    job = {"probe": "command", "command": ["/bin/sh", "-c", "exit 1"]}
    applied = observer.cycle(first_start="apply", jobs=job)
    assert (applied.mode, os.listdir(observer.root)) == (Mode.APPLYING, [])
    assert observer.cycle(mode="observe", jobs=job).pending == ("post.sh:3 touch $D/touched",)


@pytest.mark.parametrize(("require", "ready"), [("end", True), ("all-steps", False)])
def test_a_node_with_a_failed_step_is_observed_as_ready_as_the_configuration_demands(observer, require, ready):
    observer.push("sh -c 'exit 3'")
    observer.cycle(first_start="apply")
    outcome = observer.cycle(mode="observe", ready={"require": require})
    assert outcome.failed_steps
    assert outcome.ready is ready
