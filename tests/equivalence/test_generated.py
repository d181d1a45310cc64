"""Random programs of the constructs that sites use go the way of the plain shell.

Compared are a first apply and a second one, which may change nothing that a second run of the plain shell would not.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.equivalence.case import DEFAULTS, SHELLS, for_shell
from tests.equivalence.compare import both_ways, deviations
from tests.equivalence.programs import Program, programs
from tests.equivalence.root import File

EXAMPLES = 300
MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))  # of `make fuzz`; 0: one round
_DIRECTORY = {b"/srv/out": File(kind="directory", mode=0o755)}  # for what compounds print


# One round is always the same, so that a run that fails is one that a change made fail; `make fuzz` draws others.
# A program that is drawn takes less time than one that is run, but hypothesis counts both as drawing when it shrinks.
@settings(max_examples=EXAMPLES, deadline=None, derandomize=not MINUTES, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs, shell=st.sampled_from(sorted(SHELLS)))
def _compare(run, program: Program, shell: str):
    script = for_shell(File(content=program.text.encode(), mode=0o755), shell)
    plain, ours = both_ways(run, {**DEFAULTS, **_DIRECTORY, b"post.sh": script}, ["one", "two words"])
    found = deviations(plain, ours)
    assert not found, f"in {shell}:\n" + "\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_generated_programs_leave_what_the_plain_shell_leaves(run):
    until = time.monotonic() + MINUTES * 60
    _compare(run)
    while time.monotonic() < until:
        _compare(run)
