"""What is appended stands there once, however post.sh and the destination change between evaluations.

Real shells, files and ledger; what must stand there is written down by hand.
"""

import pytest

from tests.integration.site import KILL, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def applied(site, program: str, name: str = "f") -> str:
    site.program(program)
    assert not site.apply().failed
    path = site.root / name
    return path.read_text() if path.exists() else ""


def test_a_text_with_a_skipped_step_in_it_is_what_it_was_the_last_time(site):
    program = "{ echo head; sh -c 'echo ran; echo ran >>$0' $D/log; echo tail; } >>$D/f"
    assert applied(site, program) == "head\nran\ntail\n"
    assert applied(site, program) == "head\nran\ntail\n"
    (site.root / "f").unlink()
    assert applied(site, program) == "head\nran\ntail\n"
    (site.root / "f").write_text("other\nhead\nran\n")
    assert applied(site, program) == "other\nhead\nran\ntail\n"
    assert site.ran() == ["ran"]


def test_a_text_whose_steps_are_due_again_takes_the_place_of_the_old_one(site):
    site.file("v", "1\n")
    program = "{ echo head; sed s/^/v/ v; } >>$D/f; echo behind >>$D/f"
    assert applied(site, program) == "head\nv1\nbehind\n"
    site.file("v", "2\n")
    assert applied(site, program) == "head\nv2\nbehind\n"


def test_a_text_that_was_cut_short_by_a_crash_is_whole_after_the_next_full_evaluation(site):
    site.program("{ echo head; sh -c 'echo ran'; " + KILL + "; echo tail; } >>$D/f")
    site.killed()
    site.apply()
    assert (site.root / "f").read_text() == "head\ntail\n"
    site.apply(force=True)
    assert (site.root / "f").read_text() == "head\nran\ntail\n"
