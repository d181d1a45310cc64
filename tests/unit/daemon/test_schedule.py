import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.daemon.schedule import Schedule, place_of


@given(st.floats(0, 1e10), st.floats(1, 86_400), st.floats(0, 1, exclude_max=True))
def test_without_jitter_polls_fall_on_the_node_s_own_place_and_stay_there(
    now: float, interval: float, place: float
) -> None:
    schedule = Schedule(interval=interval, jitter=0, place=place)
    first = schedule.delay(now)
    assert interval * 0.499 <= first <= interval * 1.501
    assert schedule.delay(now + first) == pytest.approx(interval, rel=1e-3)


@given(st.integers(), st.floats(0, 0.5), st.floats(0, 1, exclude_max=True))
def test_with_jitter_polls_keep_their_distance_and_never_drift_from_their_place(
    seed: int, jitter: float, place: float
) -> None:
    schedule, rng, now = Schedule(interval=300, jitter=jitter, place=place), random.Random(seed), 1e9
    now += schedule.delay(now, rng)
    begin, polls = now, 50
    for _ in range(polls):
        delay = schedule.delay(now, rng)
        assert delay > 0
        now += delay
    assert now - begin == pytest.approx(polls * 300, abs=2 * 300)


def test_a_name_has_one_place_and_the_nodes_of_a_cluster_are_spread_evenly() -> None:
    places = sorted(place_of(f"cn{n:04}") for n in range(1_000))
    assert place_of("cn0001") == place_of("cn0001")
    assert all(0 <= place < 1 for place in places)
    tenths = [sum(t / 10 <= place < (t + 1) / 10 for place in places) for t in range(10)]
    assert min(tenths) > 60
    assert max(tenths) < 140
