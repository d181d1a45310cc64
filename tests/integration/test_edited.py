"""A file that a later step has edited: a repair brings back what the step made of it. Real shells and ledger."""

import hashlib
import os

import pytest

from nodeagent.ledger import database
from tests.integration.site import KILL, Site

EDIT = "sed -i s/1/2/ $D/f"
PROGRAMS = {
    "copied": f"COPY files/f $D/f\n{EDIT}",
    "written": f"echo value=1 >$D/f\n{EDIT}",
    "written twice": f"echo default >$D/f\necho value=1 >$D/f\n{EDIT}",
    "copied and appended to": f"COPY files/e $D/f\necho value=1 >>$D/f\n{EDIT}",
    "edited between two verbs": f"COPY files/f $D/f\n{EDIT}\necho end >>$D/f",
    "appended to by a script": "COPY files/f $D/f\nRUN more $D/f",
    "given another mode and owner": f"COPY files/f $D/f\n{EDIT}\nchmod 640 $D/f\nchown 7:8 $D/f",
    "replaced by a link": "COPY files/f $D/f\nln -sf /elsewhere $D/f",
    "a link that was replaced by a file": "COPY files/l $D/f\nRUN flatten $D/f",
    "in a tree": f"COPY files/ $D/\n{EDIT}",
}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.file("files/f", "value=1\n")
    site.file("files/e", "")
    site.file("postscripts/more", '#!/bin/sh\ncat >>"$1" <<END\nmore\nEND\n', 0o755)
    site.file("postscripts/flatten", '#!/bin/sh\nrm "$1"\necho flat >"$1"\n', 0o755)
    (site.repository / "files/l").symlink_to("/nowhere")
    return site


def look(path):
    """What stands at a path: content or target, mode, owner."""
    status = os.lstat(path)
    content = os.readlink(path) if path.is_symlink() else path.read_text()
    return content, status.st_mode, status.st_uid, status.st_gid


def kept(site):
    return sorted(path.read_text() for path in (site.state / "kept").glob("*"))


def by_hand(path):
    path.unlink()
    path.write_text("by hand\n")


def in_place(path):
    if path.is_symlink():
        by_hand(path)
    path.write_text("by hand\n")


def removed(path):
    path.unlink()


def moded(path):
    if path.is_symlink():
        os.chown(path, 5, 5, follow_symlinks=False)
    else:
        path.chmod(0o4777)
        os.chown(path, 5, 5)


@pytest.mark.parametrize("disturb", [by_hand, in_place, removed, moded])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_repair_brings_back_what_the_last_evaluation_left(site, program, disturb):
    site.program(program)
    site.apply()
    left = look(site.root / "f")
    for _ in range(2):
        disturb(site.root / "f")
        assert site.drifted() == ["f"]
        done = site.apply()
        assert (look(site.root / "f"), site.drifted()) == (left, [])
        assert "failed" not in done.counts
        assert "executed" not in done.counts
    assert "created" not in site.apply().counts
    site.apply(force=True)
    assert look(site.root / "f")[:2] == (left[0], left[1])


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_full_evaluation_after_a_repair_lets_the_step_edit_the_verb_s_own_text(site, program):
    site.program(program)
    site.apply()
    left = look(site.root / "f")
    by_hand(site.root / "f")
    site.apply()
    assert site.apply(force=True).counts["executed"] >= 1
    assert look(site.root / "f") == left


def test_what_the_repository_has_anew_goes_before_what_was_left(site):
    site.program(PROGRAMS["copied"])
    site.apply()
    site.file("files/f", "other=1\n")
    site.apply()
    assert (site.root / "f").read_text() == "other=2\n"


def test_in_a_file_to_which_was_only_appended_what_others_wrote_stays(site):
    (site.root / "f").write_text("theirs\n")
    site.program(f"echo value=1 >>$D/f\n{EDIT}")
    site.apply()
    with (site.root / "f").open("a") as file:
        file.write("by hand\n")
    for _ in range(2):
        assert site.apply().counts == {"unchanged": 1, "skipped": 1}
        assert (site.root / "f").read_text() == "theirs\nvalue=2\nby hand\n"


def test_a_file_to_which_was_only_appended_comes_back_as_it_was_left(site):
    site.program(f"echo value=1 >>$D/f\n{EDIT}")
    site.apply()
    (site.root / "f").unlink()
    assert site.apply().counts == {"created": 1, "skipped": 1}
    assert (site.root / "f").read_text() == "value=2\n"


def test_what_others_add_to_a_file_that_no_step_edits_is_not_kept(site):
    (site.root / "f").write_text("theirs\n")
    site.program("echo value=1 >>$D/f")
    site.apply()
    for line in ("one\n", "two\n"):
        with (site.root / "f").open("a") as file:
            file.write(line)
        site.apply()
    assert kept(site) == ["theirs\n"]
    (site.root / "f").write_text("one\n")
    site.apply()
    assert (site.root / "f").read_text() == "one\nvalue=1\n"


def test_of_an_edited_file_only_the_last_content_is_kept_and_none_when_the_step_is_gone(site):
    for number in (2, 3):
        site.program(f"COPY files/f $D/f\nsed -i s/1/{number}/ $D/f")
        site.apply()
        assert kept(site) == [f"value={number}\n"]
    site.program("COPY files/f $D/f")
    site.apply()
    assert kept(site) == []


def test_a_content_that_two_files_share_stays_until_the_last_one_is_gone(site):
    site.program(f"{PROGRAMS['copied']}\nCOPY files/f $D/g\nsed -i s/1/2/ $D/g")
    site.apply()
    site.program(PROGRAMS["copied"])
    site.apply()
    assert kept(site) == ["value=2\n"]
    by_hand(site.root / "f")
    site.apply()
    assert (site.root / "f").read_text() == "value=2\n"


def test_after_a_crash_what_a_done_step_had_edited_is_known(site):
    site.program(f"{PROGRAMS['copied']}\n{KILL}")
    site.killed()
    site.apply()
    by_hand(site.root / "f")
    site.apply()
    assert (site.root / "f").read_text() == "value=2\n"


@pytest.mark.parametrize("disturb", [by_hand, removed])
def test_what_was_too_large_to_be_kept_is_named_and_a_forced_apply_makes_it_anew(site, disturb):
    site.program(PROGRAMS["copied"])
    site.apply(keep_bytes=3)
    assert kept(site) == []
    disturb(site.root / "f")
    there = {path: look(path) for path in site.root.iterdir()}
    done = site.apply(keep_bytes=3)
    (failed,) = [step for step in done.steps if step.change == "failed"]
    assert "ledger.keep_bytes" in failed.reason
    assert {path: look(path) for path in site.root.iterdir()} == there
    site.apply(keep_bytes=3, force=True)
    assert (site.root / "f").read_text() == "value=2\n"


def test_a_content_is_on_disk_before_a_row_refers_to_it(site):
    site.program(PROGRAMS["copied"])
    site.apply()
    with database.readable(site.state) as connection:
        ((name,),) = connection.execute("SELECT left_digest FROM destination").fetchall()
    content = (site.state / "kept" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == name
    assert (site.state / "kept" / name).stat().st_mode & 0o777 == 0o600
