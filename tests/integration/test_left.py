"""What the last evaluation left, a repair leaves: files that a later step removed or edited. Real shells and ledger."""

import pytest

from nodeagent.model.evaluation import Scope
from tests.integration.site import KILL, Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.file("files/a", "a\n")
    return site


def names(site):
    return sorted(str(path.relative_to(site.root)) for path in site.root.rglob("*"))


def test_a_removed_destination_is_settled_while_it_is_absent_and_has_drifted_when_it_is_there(site):
    site.program("COPY files/a $D/x\necho b >$D/y\necho c >>$D/z\nrm -f $D/x $D/y $D/z")
    site.apply()
    assert (names(site), site.drifted()) == ([], [])
    for name in ("x", "y", "z"):
        (site.root / name).write_text("somebody else's\n")
    assert site.drifted() == ["x", "y", "z"]
    assert site.apply().counts["pruned"] == 3
    assert (names(site), site.drifted()) == ([], [])
    kept = [path.read_text() for path in (site.state / "kept").iterdir()]
    assert kept == ["somebody else's\n"]


def test_a_directory_that_stands_where_a_file_was_removed_stays(site):
    site.program("echo b >$D/y\nrm -f $D/y")
    site.apply()
    (site.root / "y").mkdir()
    site.apply()
    assert names(site) == ["y"]


def test_a_full_evaluation_places_again_what_the_step_behind_it_is_to_remove(site):
    site.program("COPY files/a $D/x\ncat $D/x >>$D/seen\nsh -c 'cat $0 >>$0.log' $D/x\nrm -f $D/x")
    site.apply()
    assert site.apply(force=True).scope is Scope.FULL
    assert (site.root / "x.log").read_text() == "a\na\n"
    assert not (site.root / "x").exists()


def test_a_step_that_is_due_again_does_not_bring_back_what_another_one_removed(site):
    site.program("COPY files/a $D/x\nrm -f $D/x\nsh -c 'echo ran >>$0; exit 3' $D/ran.log")
    site.apply()
    site.apply(retry=True)
    assert (names(site), site.ran()) == (["ran.log"], ["ran", "ran"])


def test_after_a_crash_what_a_done_step_removed_stays_away(site):
    site.program(f"COPY files/a $D/x\nrm -f $D/x\n{KILL}")
    site.killed()
    assert site.apply().counts["executed"] == 1
    assert names(site) == []
