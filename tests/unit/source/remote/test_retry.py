import threading
import time

import pytest

from nodeagent.errors import AuthenticationFailed, RemoteUnreachable
from nodeagent.source.remote import retry


class Job:
    """Fails as often as it is told, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def told():
    return []


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)


def attempts(job, told, *, stop=None, longest=1.0, give_up=30.0):
    return retry.attempts(stop or threading.Event(), longest, give_up, lambda *failure: told.append(failure), job)


def test_a_success_is_returned_and_nothing_is_told(told):
    assert attempts(Job(), told) == "done"
    assert told == []


@pytest.mark.usefixtures("quick")
def test_transient_errors_are_tried_again_and_each_is_told_with_its_number(told):
    errors = [RemoteUnreachable(str(number)) for number in range(4)]
    job = Job(*errors)

    assert attempts(job, told) == "done"

    assert job.calls == 5
    assert [(number, error) for number, error, _ in told] == list(enumerate(errors, start=1))


def test_a_stalled_error_passes_at_once(told):
    job = Job(AuthenticationFailed("no"))

    with pytest.raises(AuthenticationFailed):
        attempts(job, told)
    assert (job.calls, told) == (1, [])


@pytest.mark.usefixtures("quick")
def test_a_stalled_error_after_a_transient_one_passes_at_once(told):
    job = Job(RemoteUnreachable("away"), AuthenticationFailed("no"))

    with pytest.raises(AuthenticationFailed):
        attempts(job, told)
    assert job.calls == 2


def test_a_bug_passes_at_once(told):
    with pytest.raises(ZeroDivisionError):
        attempts(Job(ZeroDivisionError()), told)


def test_the_waits_are_random_below_a_bound_that_doubles_up_to_the_longest(told, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.002)
    for _ in range(30):
        attempts(Job(*[RemoteUnreachable("away") for _ in range(5)]), told, longest=0.008)

    for number in range(1, 6):
        waits = [wait for n, _, wait in told if n == number]
        bound = min(0.002 * 2 ** (number - 1), 0.008)
        assert all(0 <= wait <= bound for wait in waits)
        assert max(waits) > bound / 2  # 30 draws: fails once in 2**30
        assert min(waits) < bound / 2


@pytest.mark.usefixtures("quick")
def test_when_the_time_is_over_the_last_error_comes_out(told):
    errors = [RemoteUnreachable(str(number)) for number in range(1000)]

    with pytest.raises(RemoteUnreachable) as raised:
        attempts(Job(*errors), told, longest=0.01, give_up=0.1)

    assert raised.value is errors[len(told)]
    assert len(told) >= 1


def test_a_stop_ends_the_wait_without_another_attempt(told, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 1000.0)
    stop = threading.Event()
    job = Job(*[RemoteUnreachable("away") for _ in range(10)])
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()

    with pytest.raises(RemoteUnreachable):
        attempts(job, told, stop=stop, longest=1000, give_up=2000)

    assert time.monotonic() - began < 5
    assert job.calls == 1


def test_a_stop_before_the_first_failure_prevents_a_second_attempt(told):
    stop = threading.Event()
    stop.set()
    job = Job(RemoteUnreachable("away"))

    with pytest.raises(RemoteUnreachable):
        attempts(job, told, stop=stop)
    assert (job.calls, told) == (1, [])
