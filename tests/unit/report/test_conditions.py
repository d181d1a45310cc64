from dataclasses import replace

from nodeagent.model.outcomes import ApplyOutcome, Condition, ConditionType, Failure, Mode, Status
from nodeagent.report.conditions import Facts, conditions, of_the_last_run

READY = ApplyOutcome(mode=Mode.APPLYING, attempted="r", applied="r", ready=True)
UNREACHABLE = Failure(code="RemoteUnreachable", message="no route", transient=True)
MISMATCH = Failure(code="HostKeyMismatch", message="other key", transient=False)


def states(facts: Facts) -> dict[str, tuple[bool, str]]:
    return {c.type: (c.status, c.reason) for c in conditions(facts, (), 100)}


def message(facts: Facts, kind: ConditionType) -> str:
    (found,) = (c.message for c in conditions(facts, (), 100) if c.type is kind)
    return found


def test_ready_is_always_there_and_the_others_only_while_true() -> None:
    assert states(Facts()) == {"Ready": (False, "NotYetApplied")}
    assert states(Facts(ready=True, outcome=READY)) == {"Ready": (True, "Succeeded")}


def test_a_node_that_only_observes_awaits_adoption() -> None:
    outcome = ApplyOutcome(mode=Mode.OBSERVING, attempted="", applied="", ready=False)
    assert states(Facts(outcome=outcome)) == {"Ready": (False, "AwaitingAdoption")}
    planned = replace(outcome, planned="2 destinations would change, 0 steps would run")
    assert message(Facts(outcome=planned), ConditionType.READY).endswith(
        ": 2 destinations would change, 0 steps would run"
    )


def test_failed_steps_make_a_node_degraded_but_not_unready() -> None:
    steps = tuple(f"post.sh:{n} RUN x{n}" for n in range(7))
    outcome = ApplyOutcome(mode=Mode.APPLYING, attempted="r", applied="r", ready=True, failed_steps=steps)
    facts = Facts(ready=True, outcome=outcome)
    assert states(replace(facts, ready=False))["Ready"] == (False, "StepsFailed")
    assert states(facts) == {"Ready": (True, "Succeeded"), "Degraded": (True, "StepsFailed")}
    assert message(facts, ConditionType.DEGRADED) == ", ".join(steps[:5]) + ", and 2 more"


def test_an_evaluation_that_did_not_end_makes_a_node_degraded() -> None:
    assert states(Facts(ready=True, outcome=READY, unfinished=True))["Degraded"] == (True, "EvaluationUnfinished")


def test_a_transient_failure_is_reconciling() -> None:
    facts = Facts(ready=True, outcome=READY, poll=UNREACHABLE)
    assert states(facts) == {"Ready": (True, "Succeeded"), "Reconciling": (True, "RemoteUnreachable")}
    assert message(facts, ConditionType.RECONCILING) == "no route"


def test_a_revision_being_applied_is_reconciling_before_all_else() -> None:
    facts = Facts(poll=UNREACHABLE, progress="main@sha1:abc")
    assert states(facts)["Reconciling"] == (True, "Progressing")
    assert message(facts, ConditionType.RECONCILING) == "main@sha1:abc is being applied"


def test_a_failure_that_needs_a_person_is_stalled_with_its_code() -> None:
    rejected = Failure(code="RevisionRejected", message="too large", transient=False)
    facts = Facts(ready=True, outcome=READY, poll=MISMATCH, apply=rejected)
    assert states(facts) == {"Ready": (True, "Succeeded"), "Stalled": (True, "HostKeyMismatch")}
    assert message(facts, ConditionType.STALLED) == "other key; too large"


def test_the_same_failure_of_both_workers_is_said_once() -> None:
    assert message(Facts(poll=MISMATCH, apply=MISMATCH), ConditionType.STALLED) == "other key"


def test_trouble_of_both_kinds_shows_both() -> None:
    assert states(Facts(reload=MISMATCH, poll=UNREACHABLE)).keys() == {"Ready", "Reconciling", "Stalled"}


def test_since_stays_as_long_as_status_and_reason_do() -> None:
    first = conditions(Facts(poll=UNREACHABLE), (), 100)
    other_words = Failure(code="RemoteUnreachable", message="time-out", transient=True)
    second = conditions(Facts(poll=other_words), first, 200)
    third = conditions(Facts(poll=MISMATCH, outcome=READY), second, 300)
    assert [c.since for c in second] == [100, 100]
    assert [c.since for c in third] == [300, 300]


def test_what_an_earlier_daemon_knew_is_carried_on() -> None:
    status = Status(
        version="1",
        mode=Mode.APPLYING,
        url="u",
        attempted="b",
        applied="a",
        conditions=(Condition(type=ConditionType.READY, status=True, reason="Succeeded", message="m", since=1),),
        failed_steps=("f",),
        pending=("p",),
        destinations=4,
    )
    assert of_the_last_run(status) == ApplyOutcome(
        mode=Mode.APPLYING,
        attempted="b",
        applied="a",
        ready=True,
        failed_steps=("f",),
        pending=("p",),
        destinations=4,
    )
