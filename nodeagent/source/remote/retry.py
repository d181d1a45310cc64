"""How to try again: exponential back-off with full jitter, that ends at once when the agent has to stop."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity  # noqa: TID251 - the door

from nodeagent.errors import TransientError

T = TypeVar("T")

FIRST_WAIT = 2.0  # seconds; upper bound of the first wait, doubled with each failure


def attempts(
    stop: threading.Event,
    longest_wait: float,
    give_up_after: float,
    on_failure: Callable[[int, TransientError, float], None],
    job: Callable[[], T],
) -> T:
    """Run the job until it succeeds, fails for good, or there is no time left.

    Each wait is random between 0 and a bound that doubles (*full jitter*), so that nodes that failed together do not
    come back together.

    Args:
        stop: when it is set, no further attempt is made and a wait under way ends.
        longest_wait: seconds; the bound of a wait.
        give_up_after: seconds since the first attempt; no attempt begins later.
        on_failure: told of each failure that is followed by another attempt: its number from 1, the error, the wait.
        job: one attempt.

    Raises:
        TransientError: the last attempt's, when there is no further one.
        NodeagentError: any other error of the job, at once.
    """
    began = time.monotonic()
    try:
        return job()  # most jobs succeed, and save the machinery below (0.7 ms of CPU in a forked child)
    except TransientError as error:
        last = error
    told = False

    def before_sleep(state: tenacity.RetryCallState) -> None:
        nonlocal last
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError):
            last = error
            on_failure(state.attempt_number, error, state.upcoming_sleep)

    def attempt() -> T:
        nonlocal told
        if not told or stop.is_set():  # the first failure was above; tenacity asks for the event only after an attempt
            told = True
            raise last
        return job()

    patience = give_up_after - (time.monotonic() - began)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT, max=longest_wait),
        stop=tenacity.stop_any(tenacity.stop_when_event_set(stop), tenacity.stop_before_delay(patience)),
        sleep=tenacity.sleep_using_event(stop),
        before_sleep=before_sleep,
        reraise=True,
    )
    return retrying(attempt)
