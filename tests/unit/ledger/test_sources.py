from dataclasses import replace

import pytest

from nodeagent.ledger import database
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Attempt, Revision, Scope, Trigger

REVISION = Revision(ref="main", commit="c1", tree="t1")
DONE = Attempt(succeeded=True, exit_status=0, statement_status=0, evaluation=1, boot="b", tries=1, tick=0)
FAILED = replace(DONE, succeeded=False, exit_status=3, statement_status=1)


@pytest.fixture
def connection(tmp_path):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        yield connection


@pytest.fixture
def source(connection):
    return Source(connection, "x")


def begin(source, scope=Scope.FULL, trigger=Trigger.NEW_TREE):
    return source.begin(REVISION, boot="b", scope=scope, trigger=trigger)


def finish(source, number, *, settled=True):
    source.finish(
        number,
        REVISION,
        boot="b",
        exit_status=0,
        finished=settled,
        settled=settled,
        counts={},
        duration_usec=1,
        failed=source.failed_steps(),
        pending=(),
    )


def test_what_is_due_is_on_disk_when_an_evaluation_begins(tmp_path):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        first = begin(Source(connection, "x"))
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        source = Source(connection, "x")
        assert not source.state().finished
        assert (source.renewal().full, source.renewal().trigger) == (first, Trigger.NEW_TREE)
        begin(source, Scope.REPAIR, Trigger.UNFINISHED)
        assert source.renewal().full == first
        forced = begin(source, trigger=Trigger.FORCE)
        assert (source.renewal().full, source.renewal().forced) == (forced, forced)


@pytest.mark.parametrize("scope", [Scope.FULL, Scope.REPAIR])
def test_an_evaluation_that_began_and_did_not_end_is_not_finished_whatever_the_one_before_was(tmp_path, scope):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        source = Source(connection, "x")
        finish(source, begin(source))
        assert source.state().finished
        begin(source, scope)
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        assert not Source(connection, "x").state().finished


def test_an_attempt_is_remembered_by_step_and_reach(source):
    number = begin(source)
    attempt = replace(FAILED, evaluation=number, tries=2, tick=9)
    source.record("k", 1, attempt, label="a", retries=0)
    assert source.attempt("k", 1) == attempt
    assert source.attempt("k", 2) is None
    assert source.failed_steps() == ["a"]


def test_what_failed_before_a_full_evaluation_is_due_and_no_longer_failed(source):
    source.record("k", 1, replace(FAILED, evaluation=begin(source)), label="a", retries=1)
    begin(source)
    assert source.failed_steps() == []
    assert not source.state().retries


@pytest.mark.parametrize(("tries", "left"), [(1, True), (2, True), (3, False)])
def test_a_failed_step_has_retries_left_until_it_has_had_them(source, tries, left):
    source.record("k", 1, replace(FAILED, evaluation=begin(source), tries=tries), label="a", retries=2)
    assert source.state().retries is left


def test_a_deferral_is_news_once_and_ends_when_the_step_runs(source):
    number = begin(source)
    assert source.defer("k", 1, number)
    assert not source.defer("k", 1, number + 1)
    assert source.state().deferred
    source.record("k", 1, DONE, label="a", retries=0)
    assert not source.state().deferred


def test_a_step_that_waits_for_the_node_to_be_idle_is_not_retried_meanwhile(source):
    number = begin(source)
    source.record("k", 1, replace(FAILED, evaluation=number), label="a", retries=1)
    source.defer("k", 1, number)
    assert (source.state().deferred, source.state().retries) == (True, False)


@pytest.mark.parametrize("settled", [True, False])
def test_a_deferral_that_an_evaluation_did_not_repeat_is_forgotten_at_its_end(source, settled):
    source.defer("k", 1, begin(source))
    finish(source, begin(source, Scope.REPAIR, Trigger.DRIFT), settled=settled)
    assert source.state().deferred is not settled


def test_steps_whose_statement_is_gone_are_forgotten(source):
    begin(source)
    for key in ("a", "b"):
        source.record(key, 1, DONE, label=key, retries=0)
    source.forget({"b", "c"})
    assert source.attempt("a", 1) is None
    assert source.attempt("b", 1) is not None
