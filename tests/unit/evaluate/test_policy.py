"""The table of which evaluation is due (design section 4, *due*)."""

import pytest

from nodeagent.evaluate.policy import Due, NotDue, Past, Situation, evaluation
from nodeagent.model.evaluation import Scope, Trigger

PAST = Past(tree="t1", commit="c1", boot="b1", finished=True)
ADOPTED = Due(scope=Scope.ADOPT, trigger=Trigger.LEDGER_DAMAGED)


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
        ({"idle": True}, repair(Trigger.IDLE)),
        ({"idle": True, "drifted": 1}, repair(Trigger.DRIFT)),
        ({"idle": True, "tree": "t2"}, full(Trigger.NEW_TREE)),
        ({"retries": True}, repair(Trigger.RETRY)),
        ({"retries": True, "idle": True}, repair(Trigger.IDLE)),
        ({"retries": True, "boot": "b2"}, full(Trigger.BOOT)),
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
        ({"past": None, "damaged": True}, ADOPTED),
        ({"past": None, "damaged": True, "requested": True}, ADOPTED),
        ({"past": None, "damaged": True, "first_start": "observe"}, ADOPTED),
        ({"past": None, "damaged": True, "uptime": 60}, full(Trigger.BOOT)),
        ({"past": None, "damaged": True, "force": True}, full(Trigger.FORCE)),
        ({"damaged": True}, NotDue.NOTHING),
    ],
)
def test_the_strongest_reason_decides_which_evaluation_is_due(changes, expected):
    assert evaluation(situation(**changes)) == expected
