"""``source.not_before`` against a real server, for a node that remembers nothing."""

import threading

import pytest

from nodeagent import reconcile
from nodeagent.source.trust import history
from nodeagent.source.trust.history import Standing
from nodeagent.workers import worker
from nodeagent.workers.stop import Stop

PLAN = {"post.sh": "#!/bin/sh\n"}


class Recorder:
    def report(self, event):
        pass


def first_cycle(site, not_before):
    config = site.config(source={"not_before": not_before}, first_start="apply")

    def look(reporter, stop: Stop):
        return reconcile.poll(config, "", stop, reporter)

    found = worker.run("poll", look, Recorder(), time_limit=30)
    return config, found


@pytest.mark.parametrize("back", [0, 1])
def test_a_branch_that_has_the_commit_in_its_history_is_taken(site, back):
    commits = [site.repository.commit({"post.sh": f"#!/bin/sh\n# {n}\n"}) for n in range(3)]

    config, found = first_cycle(site, commits[-1 - back])

    assert (found.commit, found.failure) == (commits[-1], None)
    done = reconcile.apply_cycle(config, found.commit, threading.Event(), Recorder())
    assert (done.failure, done.applied) == (None, f"main@sha1:{commits[-1]}")


def test_a_server_that_shows_an_older_commit_is_refused_by_both_sides(site):
    old = site.repository.commit(PLAN)
    new = site.repository.commit({"files/motd": "new"})
    site.poll()
    site.repository.git("reset", "-q", "--hard", old)
    site.repository.push()

    config, found = first_cycle(site, new)

    assert (found.failure.code, found.failure.transient, found.commit) == ("RevisionTooOld", False, "")
    assert old in found.failure.message
    assert new in found.failure.message
    done = reconcile.apply_cycle(config, old, threading.Event(), Recorder())
    assert done.failure.code == "RevisionTooOld"
    assert not config.source.checkout.joinpath("post.sh").exists()


@pytest.mark.parametrize(("date", "taken"), [("2026-02-01", True), ("2026-02-01T00:00:01+00:00", False)])
def test_a_date_is_compared_with_the_committer_s_to_the_second(site, date, taken):
    site.repository.write(PLAN)
    site.repository.git("add", "--all")
    site.repository.git("-c", "user.name=a", "commit", "-q", "-m", "Early")
    site.repository.git("filter-branch", "-f", "--env-filter", "export GIT_COMMITTER_DATE=2026-02-01T00:00:00Z")
    site.repository.push()

    config, found = first_cycle(site, date)

    done = reconcile.apply_cycle(config, site.repository.head, threading.Event(), Recorder())
    if taken:
        assert (found.commit, found.failure, done.failure) == (site.repository.head, None, None)
    else:
        assert (found.failure.code, found.commit) == ("RevisionTooOld", "")
        assert "2026-02-01 00:00:00 UTC" in found.failure.message


def test_the_root_side_judges_the_date_by_itself():
    with pytest.raises(history.RevisionTooOld, match="not_before"):
        history.demand_young("1" * 40, 99, Standing(earliest=100))
    history.demand_young("1" * 40, 100, Standing(earliest=100))
