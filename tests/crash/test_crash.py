"""A sample of the points of ``make crash``, the same ones each time, spread over all system calls."""

import shutil

import pytest

from tests.crash import points, trial

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture(scope="module")
def every():
    return trial.probe()


def wrong(trials):
    return [f"{verdict.trial}: {line}" for verdict in trial.run(trials) for line in verdict.wrong]


@needs_strace
@pytest.mark.timeout(180)
def test_what_an_agent_killed_at_a_system_call_began_the_next_run_finishes(every):
    assert wrong(trial.kills(points.sample(every, 25), tree=False)) == []


@needs_strace
@pytest.mark.timeout(180)
def test_what_was_killed_with_all_its_processes_the_next_run_finishes(every):
    assert wrong(trial.kills(points.sample(every, 10, salt=3), tree=True)) == []


@pytest.mark.timeout(180)
def test_what_was_killed_at_any_moment_the_next_run_finishes():
    assert wrong(trial.moments(10)) == []


@needs_strace
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("error", "salt"), [("ENOSPC", 0), ("EIO", 4), ("EROFS", 5)])
def test_what_the_disk_refused_is_said_and_done_when_it_takes_it(error, salt, every):
    chosen = points.sample([point for point in every if point.of_file], 30, salt)[salt % 3 :: 3]
    assert wrong(trial.faults(chosen, error, lasting=salt % 2 == 0)) == []
