from nodeagent.model.outcomes import Failure
from nodeagent.report.narrator import ERROR, NOTICE, WARNING
from nodeagent.report.outage import Outage

UNREACHABLE = Failure(code="RemoteUnreachable", message="no route", transient=True)
MISMATCH = Failure(code="HostKeyMismatch", message="other key", transient=False)


def test_a_problem_is_logged_when_it_begins_and_when_it_ends_and_not_between() -> None:
    outage = Outage("poll")
    assert [(n.priority, n.text) for n in outage.observe(UNREACHABLE)] == [(WARNING, "no route")]
    assert list(outage.observe(UNREACHABLE)) == []
    assert [(n.priority, n.text) for n in outage.observe(None)] == [(NOTICE, "poll: recovered from RemoteUnreachable")]
    assert list(outage.observe(None)) == []
    assert len(list(outage.observe(UNREACHABLE))) == 1


def test_a_problem_that_changes_is_logged_again() -> None:
    outage = Outage("poll")
    list(outage.observe(UNREACHABLE))
    assert [(n.priority, n.code) for n in outage.observe(MISMATCH)] == [(ERROR, "HostKeyMismatch")]
    assert [n.code for n in outage.observe(UNREACHABLE)] == ["RemoteUnreachable"]


def test_problems_that_take_turns_in_their_words_make_no_storm() -> None:
    outage = Outage("poll")
    failures = [Failure(code="RemoteUnreachable", message=m, transient=True) for m in ("refused", "time-out")]
    assert sum(len(list(outage.observe(f))) for f in failures * 100) == 2


def test_a_problem_that_words_itself_anew_each_time_makes_no_storm() -> None:
    outage = Outage("poll")
    failures = [Failure(code="RemoteUnreachable", message=f"after {n} s", transient=True) for n in range(1_000)]
    assert sum(len(list(outage.observe(f))) for f in failures) == 8


def test_the_traceback_of_a_crash_is_logged_with_it_once() -> None:
    outage = Outage("apply")
    crash = Failure(code="WorkerFailed", message="KeyError", transient=True)
    assert [n.text for n in outage.observe(crash, "Traceback\n  ...\nKeyError\n")] == [
        "KeyError",
        "Traceback\n  ...\nKeyError",
    ]
    assert list(outage.observe(crash, "Traceback\n  ...\nKeyError\n")) == []
