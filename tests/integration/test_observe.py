"""A daemon that only observes: it polls, plans, reports what is news, and touches nothing."""

import os

import pytest

from nodeagent.cli.run import plan_of
from nodeagent.model import ApplyOutcome, Mode, Notice, PlannedChange, PlannedStep
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
        config = self.site.config(jobs={"probe": "none"}, **(settings or self.settings))
        found, _ = self.site.poll(config, "")
        self.recorder = Recorder()
        outcome = worker.run(
            "apply", lambda r, s: plan_of(config).apply(found.commit, r, s), self.recorder, time_limit=50
        )
        assert isinstance(outcome, ApplyOutcome), outcome
        return outcome

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
