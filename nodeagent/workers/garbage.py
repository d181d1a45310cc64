"""Python's search for cycles among objects, where there are many and no cycles."""

import contextlib
import gc
from collections.abc import Iterator

_OBJECTS = 100_000  # that are made between two searches; Python's own number is 700


@contextlib.contextmanager
def collected_seldom() -> Iterator[None]:
    """For work on a tree of many files, read into many small tuples: the search would take a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
