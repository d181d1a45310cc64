"""The table of design section 4, *due*."""

import pytest

from nodeagent.evaluate.policy import Attempt, Due, NotDue, Past, Situation, evaluation, step
from nodeagent.model import Scope, Trigger

PAST = Past(tree="t1", commit="c1", boot="b1", finished=True)


def situation(**changes):
    return Situation(
        **{"past": PAST, "tree": "t1", "commit": "c1", "boot": "b1", "uptime": 1e6, "drifted": 0} | changes
    )


def full(trigger):
    return Due(scope=Scope.FULL, trigger=trigger)


def repair(trigger):
    return Due(scope=Scope.REPAIR, trigger=trigger)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, NotDue.NOTHING),
        ({"tree": "t2", "commit": "c2"}, full(Trigger.NEW_TREE)),
        ({"boot": "b2"}, full(Trigger.BOOT)),
        ({"boot": "b2", "tree": "t2"}, full(Trigger.BOOT)),
        ({"force": True}, full(Trigger.FORCE)),
        ({"commit": "c2"}, repair(Trigger.NEW_TREE)),
        ({"drifted": 1}, repair(Trigger.DRIFT)),
        ({"retry": True}, repair(Trigger.RETRY)),
        ({"retry": True, "tree": "t2"}, full(Trigger.NEW_TREE)),
        ({"requested": True}, repair(Trigger.REQUEST)),
        ({"past": Past(tree="t1", commit="c1", boot="b1", finished=False)}, repair(Trigger.UNFINISHED)),
        (
            {"past": Past(tree="t1", commit="c1", boot="b1", finished=False, adopting=True)},
            Due(scope=Scope.ADOPT, trigger=Trigger.UNFINISHED),
        ),
        ({"adopt": True, "past": None}, Due(scope=Scope.ADOPT, trigger=Trigger.ADOPT)),
        ({"past": None, "uptime": 60}, full(Trigger.BOOT)),
        ({"past": None, "uptime": 901}, NotDue.OBSERVE),
        ({"past": None, "uptime": 901, "first_start": "apply"}, full(Trigger.BOOT)),
        ({"past": None, "uptime": 60, "first_start": "observe"}, NotDue.OBSERVE),
        ({"past": None, "requested": True}, full(Trigger.REQUEST)),
    ],
)
def test_the_strongest_reason_decides_which_evaluation_is_due(changes, expected):
    assert evaluation(situation(**changes)) == expected


DONE = Attempt(succeeded=True, exit_status=0, statement_status=0)
FAILED = Attempt(succeeded=False, exit_status=3, statement_status=1)


@pytest.mark.parametrize(
    ("scope", "attempt", "retry", "runs", "status"),
    [
        (Scope.FULL, None, False, True, 0),
        (Scope.REPAIR, None, False, True, 0),
        (Scope.ADOPT, None, False, False, 0),
        (Scope.REPAIR, DONE, False, False, 0),
        (Scope.REPAIR, DONE, True, False, 0),
        (Scope.REPAIR, FAILED, False, False, 1),
        (Scope.REPAIR, FAILED, True, True, 0),
        (Scope.ADOPT, FAILED, False, False, 0),
    ],
)
def test_a_step_runs_when_it_is_due_and_says_why_otherwise(scope, attempt, retry, runs, status):
    verdict = step(scope, attempt, retry=retry)
    assert (verdict.run, verdict.status) == (runs, status)
    assert verdict.reason


def test_adopting_takes_due_and_failed_steps_as_done():
    assert step(Scope.ADOPT, None, retry=False).adopted
    assert step(Scope.ADOPT, FAILED, retry=False).adopted
