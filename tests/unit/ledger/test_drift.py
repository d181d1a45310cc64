import pytest

from nodeagent.ledger import database
from nodeagent.ledger.drift import Judged, Repairs, judge, note_repaired, note_reported, policy_of

HOUR = 3600.0
TABLE = {"/": "repair", "/etc": "report", "/etc/slurm": "repair", "/etc/slurm/local.conf": "report"}


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/root/x", "repair"),
        ("/etc", "report"),
        ("/etc/hosts", "report"),
        ("/etcetera", "repair"),
        ("/etc/slurm/slurm.conf", "repair"),
        ("/etc/slurm/local.conf", "report"),
    ],
)
def test_the_longest_path_that_fits_decides(path, policy):
    assert policy_of(path, TABLE) == policy
    assert policy_of(path, {}) == "repair"


def test_the_wait_grows_with_each_repair_and_not_beyond_a_day():
    waits = [Repairs(times=n, last=0.0).wait for n in (1, 2, 3, 4, 5, 20, 5000)]
    assert waits == [0, 0, 600, 1200, 2400, 24 * HOUR, 24 * HOUR]


@pytest.mark.parametrize(
    ("times", "since", "due"),
    [(2, 1, True), (3, 599, False), (3, 600, True), (4, 700, False), (4, 1200, True), (3, -5, True)],
    ids=["not contended", "too early", "in time", "too early again", "in time again", "clock set back"],
)
def test_a_contended_file_is_repaired_when_its_time_has_come(times, since, due):
    assert Repairs(times=times, last=10_000.0).is_due(10_000.0 + since) is due


@pytest.mark.parametrize(
    ("times", "since", "then"),
    [(1, 60, 2), (2, 23 * HOUR, 3), (2, 25 * HOUR, 1), (9, 24 * HOUR, 10), (9, 72 * HOUR, 1), (5, -60, 1)],
)
def test_a_file_that_was_let_alone_for_a_day_is_not_contended_any_more(times, since, then):
    before = Repairs(times=times, last=1e6)
    assert before.after_one_more(1e6 + since) == Repairs(times=then, last=1e6 + since)


@pytest.fixture
def ledger(tmp_path):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        yield connection


def test_what_drifted_is_judged_by_policy_and_history(ledger):
    for n in range(3):
        note_repaired(ledger, 1, ["/a", "/etc/b"], 1000.0 + n)
    drifted = ["/a", "/c", "/etc/b"]
    assert judge(ledger, drifted, TABLE, 1100.0) == Judged(repair=["/c"], report=["/etc/b"], wait=["/a"])
    assert judge(ledger, drifted, TABLE, 2000.0) == Judged(repair=["/a", "/c"], report=["/etc/b"], wait=[])


def test_a_path_is_news_when_it_becomes_contended(ledger):
    assert [note_repaired(ledger, 1, ["/a"], 1000.0 + n) for n in range(4)] == [[], [], ["/a"], []]


def test_drift_is_told_once_as_long_as_it_lasts(ledger):
    assert note_reported(ledger, 1, ["/b", "/a"]) == ["/a", "/b"]
    assert note_reported(ledger, 1, ["/a", "/b"]) == []
    assert note_reported(ledger, 1, ["/b"]) == []
    assert note_reported(ledger, 1, ["/a", "/b"]) == ["/a"]
