"""The bugs of ``make planted`` fit the project as it is."""

from pathlib import Path

import pytest

from tests.planted.bugs import BUGS

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_can_be_planted_and_its_tests_are_there(bug):
    assert bug.problem(PROJECT) == ""
    assert bug.old != bug.new
    assert bug.test_files
    assert [name for name in bug.test_files if not (PROJECT / name).exists()] == []


def test_no_two_bugs_are_called_the_same():
    assert len({bug.name for bug in BUGS}) == len(BUGS)
