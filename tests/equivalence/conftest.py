import pytest

from tests.equivalence import sandbox


@pytest.fixture(scope="session")
def run():
    with sandbox.opened() as runs:
        yield runs
