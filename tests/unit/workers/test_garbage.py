import gc

from nodeagent.workers.garbage import collected_seldom


def test_objects_are_searched_seldom_inside_and_as_before_afterwards():
    before = gc.get_threshold()
    with collected_seldom():
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
