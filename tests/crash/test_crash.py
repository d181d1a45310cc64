"""A sample of the points of ``make crash``, the same ones each time, spread over all system calls."""

import functools
import re
import shutil

import pytest

from tests.crash import agent, points, trial, world

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


def left_behind(point: points.Point) -> tuple[int, list[str]]:
    """Kill the second revision while it places something, go back to the first, and look for temporaries."""
    agent.apply()
    world.advance()
    status = agent.apply(strace=["-e", f"inject={point.call}:signal=KILL:when={point.number}"]).status
    world.go_back()
    agent.apply()
    files = [str(path) for path in world.ROOT.rglob(".*")]
    return status, files


@needs_strace
@pytest.mark.timeout(180)
def test_what_was_staged_for_a_statement_that_is_gone_by_then_does_not_stay(every):
    staged = re.compile(rf"{re.escape(str(world.ROOT))}/\S*\.nodeagent-|^\d+<{re.escape(str(world.ROOT))}")
    behind = [point for point in every if point.call in {"renameat", "rename"} and staged.search(point.arguments)]
    assert len(behind) > 10
    jobs = [functools.partial(left_behind, point) for point in behind]
    assert trial.run_all(jobs) == [(137, [])] * len(behind)
