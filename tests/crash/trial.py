"""One point after the other: bring a node to the first revision, disturb the second, run again, look."""

import os
import pickle
import random
import select
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.crash import agent, invariants, points, world
from tests.crash.points import Point

EXIT_STATUSES = (0, 1, 2, 4, 6, 75)
"""What ``apply --detailed-exitcodes`` may end with."""

SPAN = 0.15  # seconds: within them falls the end of an undisturbed run


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One disturbance.

    ``point``: where strace steps in; None: SIGKILL after ``seconds``. ``error``: the call fails with it; empty:
    SIGKILL in its place. ``lasting``: so do all calls of that name behind it. ``tree``: with the agent all that it
    started is killed.
    """

    point: Point | None
    seconds: float = 0.0
    error: str = ""
    lasting: bool = False
    tree: bool = False

    def __str__(self) -> str:
        what = f"{self.error}{' from then on' if self.lasting else ''}" if self.error else "SIGKILL"
        where = f"at {self.point}" if self.point is not None else f"after {self.seconds * 1000:.1f} ms"
        return f"{what} {where}{', with all its processes' if self.tree else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``wrong``: a line for each thing that does not hold; ``hit``: the run came as far as the disturbance."""

    trial: Trial
    hit: bool
    wrong: Sequence[str]


def probe() -> list[Point]:
    """The points of an undisturbed run.

    Raises:
        AssertionError: not even that one leaves what it should.
    """

    def look() -> list[Point]:
        first = agent.apply()
        assert first.status == 2, first.said
        world.advance()
        second = agent.apply(strace=["-e", points.TRACE])
        assert second.status == 6, second.said
        wrong = invariants.finished(world.EXPECTATION, None)
        assert not wrong, wrong
        return list(points.points(second.calls))

    found = next(iter(_in_children([look], 1)))
    assert not isinstance(found, str), found
    return found


def run_all(jobs: Sequence[Callable[[], object]], processes: int = 2) -> list[object]:
    """Do each job in a child with a world of its own; the results, or tracebacks."""
    return list(_in_children(jobs, processes))


def kills(every: Iterable[Point], *, tree: bool) -> list[Trial]:
    return [Trial(point=point, tree=tree) for point in every]


def moments(number: int) -> list[Trial]:
    """Random moments of a run, the same ones each time."""
    chance = random.Random(number)
    return [Trial(point=None, seconds=chance.uniform(0, SPAN), tree=n % 2 == 1) for n in range(number)]


def faults(every: Iterable[Point], error: Literal["ENOSPC", "EIO", "EROFS"], *, lasting: bool) -> list[Trial]:
    return [Trial(point=point, error=error, lasting=lasting) for point in every if point.of_file]


def run(trials: Sequence[Trial], processes: int = 2) -> Iterator[Verdict]:
    """Run the trials, as many at once as told; verdicts come as they are reached."""

    def job(trial: Trial) -> Callable[[], Verdict]:
        return lambda: _judge(trial)

    for trial, found in zip(trials, _in_children([job(trial) for trial in trials], processes), strict=True):
        yield found if isinstance(found, Verdict) else Verdict(trial=trial, hit=True, wrong=[str(found)])


# --- one trial ---


def _judge(trial: Trial) -> Verdict:
    first = agent.apply()
    if first.status != 2:
        return Verdict(trial=trial, hit=False, wrong=[f"the first revision: {first.status}: {first.said}"])
    world.advance()
    disturbed = _disturbed(trial)
    wrong = _ending(trial, disturbed)
    left = invariants.interrupted(world.EXPECTATION)
    wrong += left.wrong
    second = agent.apply()
    if second.status not in {0, 2, 4, 6} or "Traceback" in second.said:
        wrong.append(f"the second run ended with {second.status}: {second.said}")
    wrong += invariants.finished(world.EXPECTATION, left)
    third = agent.apply()
    if third.status != 0:
        wrong.append(f"a third run ended with {third.status}: {third.said}")
    hit = disturbed.status == 137 if not trial.error else any("(INJECTED)" in line for line in disturbed.calls)
    return Verdict(trial=trial, hit=hit, wrong=[*wrong, f"it had said: {disturbed.said}"] if wrong else [])


def _disturbed(trial: Trial) -> agent.Ended:
    if trial.point is None:
        return agent.apply(kill_after=trial.seconds, whole_tree=trial.tree)
    how = f"error={trial.error}" if trial.error else "signal=KILL"
    when = f"{trial.point.number}{'+' if trial.lasting else ''}"
    options = ["-e", f"trace={trial.point.call}", "-e", f"inject={trial.point.call}:{how}:when={when}"]
    return agent.apply(strace=options, whole_tree=trial.tree)


def _ending(trial: Trial, ended: agent.Ended) -> list[str]:
    """What is wrong with how the disturbed run itself ended."""
    if not trial.error:
        return [] if ended.status in {137, 6} else [f"it ended with {ended.status}"]
    wrong = []
    if "Traceback" in ended.said:
        wrong.append("it ended in a traceback")
    if ended.status not in EXIT_STATUSES:
        wrong.append(f"it ended with {ended.status}")
    told = trial.point is not None and trial.point.call != "write"  # else the error may not have come out either
    if ended.status == 1 and told and "/" not in ended.said.rpartition("nodeagent: ")[2]:
        wrong.append("its error names no path")
    return wrong


# --- processes ---


def in_a_world(job: Callable[[], object]) -> object:
    """Do the job in a child with a world of its own; its result, or a traceback."""
    return run_all([job], 1)[0]


def _in_children(jobs: Sequence[Callable[[], object]], processes: int) -> Iterator[object]:
    """Do each job in a forked child with a world of its own; results in the order of the jobs."""
    results: dict[int, object] = {}
    waiting = iter(range(len(jobs)))
    running: dict[int, tuple[int, int]] = {}  # by the reading end: which job, which process
    given = 0
    while given < len(jobs):
        while len(running) < processes and (number := next(waiting, None)) is not None:
            read, pid = _start(jobs[number])
            running[read] = (number, pid)
        poll = select.poll()
        for read in running:
            poll.register(read, select.POLLIN)
        for read, _ in poll.poll():
            number, pid = running.pop(read)
            with open(read, "rb") as file:
                data = file.read()
            os.waitpid(pid, 0)
            results[number] = pickle.loads(data) if data else "the trial itself came to no end"
        while given in results:
            yield results.pop(given)
            given += 1


def _start(job: Callable[[], object]) -> tuple[int, int]:
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(write)
        return read, pid
    try:
        agent.in_a_room()
        world.build()
        result = job()
    except BaseException:  # noqa: BLE001 - the very top of a process
        result = traceback.format_exc()
    with open(write, "wb") as file:
        pickle.dump(result, file)
    os._exit(0)
