"""Plans of a configured source, also of what is not applied: real sshd, fetch user's store, sandbox."""

import os

import pytest

from nodeagent import planning, reconcile
from nodeagent.errors import NodeagentError, ReferenceNotFound, by_code
from nodeagent.model.events import PlannedChange, PlannedStep
from nodeagent.model.outcomes import Failure, PlanOutcome, PollOutcome
from nodeagent.situation import Wishes
from nodeagent.workers import worker
from tests.integration.conftest import Recorder


class Node:
    """A node that follows the site."""

    def __init__(self, site):
        self.site = site
        self.root = site.directory / "root"
        self.root.mkdir()
        self.commit = ""
        self.recorder = Recorder()
        self.limits = {}

    def config(self, **settings):
        return self.site.config(first_start="apply", jobs={"probe": "none"}, limits=self.limits, **settings)

    def push(self, body, branch="main", **files):
        text = f'#!/bin/sh\nCOPY() {{ mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }}\nD={self.root}\n{body}\n'
        repository = self.site.repository
        repository.write({"post.sh": text, **files})
        repository.git("add", "--all")
        repository.git("commit", "-q", "--allow-empty", "-m", "Change the nodes")
        commit = repository.head
        repository.git("push", "-q", "--force", repository.bare, f"HEAD:refs/heads/{branch}", "--tags")
        if branch != "main":
            repository.git("reset", "-q", "--hard", "HEAD~1")
        return commit

    def run(self, job):
        self.recorder = Recorder()
        found = worker.run("test", job, self.recorder, time_limit=50)
        if isinstance(found, Failure):
            raise by_code(found.code, found.message)
        return found

    def poll(self):
        found, _ = self.site.poll(self.config(), self.commit)
        assert found.failure is None, found.failure
        self.commit = found.commit
        return self.commit

    def apply(self):
        commit = self.poll()
        return self.run(lambda r, s: planning._without_steps(reconcile.apply_cycle(self.config(), commit, s, r)))

    def fetch(self, name):
        found = self.run(lambda r, s: reconcile.fetch_named(self.config(), name))
        assert isinstance(found, PollOutcome)
        return found.commit

    def plan(self, commit, **wishes):
        wanted = Wishes(requested=True, run_steps=False, **wishes)
        outcome = self.run(lambda r, s: planning.of_cycle(self.config(), commit, wanted, r, s, diff=True))
        assert isinstance(outcome, PlanOutcome)
        return outcome

    def of(self, kind):
        return [event for event in self.recorder.events if isinstance(event, kind)]

    def look(self):
        """All that a plan must leave as it is."""
        return {
            os.path.join(directory, name): (s.st_mode, s.st_size, s.st_ino, s.st_ctime_ns)
            for top in ("root", "state", "configs")
            for directory, names, files in os.walk(self.site.directory / top)
            for name in (".", *files)
            for s in [os.lstat(os.path.join(directory, name))]
        }


@pytest.fixture
def follower(site):
    return Node(site)


def test_a_first_apply_is_planned_from_an_empty_ledger(follower):
    commit = follower.push("COPY files/a $D/a\ntouch $D/touched", **{"files/a": "a\n"})
    assert follower.plan(follower.poll()).revision == f"main@sha1:{commit}"
    assert [(c.path, c.change) for c in follower.of(PlannedChange)] == [(f"{follower.root}/a", "created")]
    assert [(s.command, s.would_run) for s in follower.of(PlannedStep)] == [("touch $D/touched", True)]
    assert os.listdir(follower.root) == []
    assert not (follower.site.directory / "state").exists()
    assert not (follower.site.directory / "configs").exists()


def test_a_new_commit_is_planned_against_what_was_applied(follower):
    follower.push("COPY files/a $D/a\necho same >$D/same", **{"files/a": "a\n"})
    assert follower.apply().failure is None
    before = follower.look()
    follower.push("COPY files/a $D/a\necho same >$D/same", **{"files/a": "b\n"})
    follower.plan(follower.poll())
    changes = {os.path.basename(c.path): c for c in follower.of(PlannedChange)}
    assert {name: str(c.change) for name, c in changes.items()} == {"a": "updated", "same": "unchanged"}
    assert changes["a"].diff.endswith("-a\n+b\n")
    assert follower.look() == before


@pytest.mark.parametrize("kind", ["branch", "tag", "commit"])
def test_what_is_not_applied_is_fetched_and_planned_and_the_node_goes_on_following_its_branch(follower, kind):
    follower.push("echo main >$D/x")
    main = follower.push("echo newer >$D/x")
    assert follower.apply().failure is None
    follower.site.repository.git("tag", "-a", "-m", "Try", "other-tag", "HEAD~1")
    aside = follower.push("echo aside >$D/x", branch="try")
    before = follower.look()
    name, expected = {
        "branch": ("try", aside),
        "tag": ("other-tag", follower.site.repository.git("rev-parse", "other-tag^{commit}").strip()),
        "commit": (aside, aside),
    }[kind]
    commit = follower.fetch(name)
    assert commit == expected
    outcome = follower.plan(commit, descendant=False)
    assert outcome.revision.endswith(commit)
    (change,) = follower.of(PlannedChange)
    assert change.change == "updated"
    assert follower.look() == before
    assert follower.poll() == main
    assert (follower.root / "x").read_text() == "newer\n"


@pytest.mark.parametrize(
    ("body", "limits", "code", "words"),
    [
        ("x # nodeagent: onn=/etc", {}, "AnnotationInvalid", "post.sh:4"),
        ("if true; then # nodeagent: boot", {}, "AnnotationInvalid", "post.sh:4"),
        ("true", {"files": 1}, "RevisionRejected", "more than 1 file"),
        ("true", {"file_bytes": 10}, "RevisionRejected", "post.sh"),
    ],
)
def test_a_revision_that_would_be_refused_is_refused_by_the_plan_too(follower, body, limits, code, words):
    follower.push("echo main >$D/x")
    assert follower.apply().failure is None
    follower.push(body, branch="try", **{"files/a": "a\n"})
    before = follower.look()
    follower.limits = limits
    with pytest.raises(NodeagentError) as refused:
        follower.plan(follower.fetch("try"), descendant=False)
    assert (refused.value.code, words in str(refused.value)) == (code, True), refused.value
    assert follower.look() == before


@pytest.mark.parametrize("name", ["none", "0" * 40, "main:refs/heads/x"])
def test_a_name_that_the_repository_does_not_have_is_an_error_that_says_so(follower, name):
    follower.push("true")
    with pytest.raises(ReferenceNotFound):
        follower.fetch(name)
