"""A file that steps edit after the verb that places it: never left in between. Real shells and ledger."""

import pytest

from tests.integration.site import KILL, Site

EDIT = "sed -i s/1/2/ $D/f"
ADD = "sed -i 's/$/+/' $D/f"  # not the same when it is done twice


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.file("files/f", "value=1\n")
    site.file("postscripts/more", '#!/bin/sh\nset -e\ncat >>"$1" <<END\nmore\nEND\n', 0o755)
    return site


def job():
    return "job 17 runs here"


def text(site):
    return (site.root / "f").read_text()


def counts(done):
    return {str(name): n for name, n in done.counts.items() if n}


@pytest.fixture
def begun(site):
    """Applies a program once, and then changes something else in the tree."""
    site.file("files/other", "")

    def begin(program, expected):
        site.program(program)
        site.apply()
        assert text(site) == expected
        site.file("files/other", "x")

    return begin


@pytest.mark.parametrize("edit", [EDIT, ADD, "RUN more $D/f", f"{EDIT} # nodeagent: on=/elsewhere"])
@pytest.mark.parametrize("verb", ["COPY files/f $D/f", "echo value=1 >$D/f", "COPY files/ $D/"])
def test_while_a_job_runs_a_file_that_has_not_changed_stands_as_it_was_left(site, begun, verb, edit):
    left = {ADD: "value=1+\n", "RUN more $D/f": "value=1\nmore\n"}.get(edit, "value=2\n")
    begun(f"{verb}\n{edit}", left)
    for _ in range(2):
        site.apply(busy=job)
        assert (text(site), [f for f in site.drifted() if f == "f"]) == (left, [])
    site.apply()
    assert text(site) == left
    assert "executed" not in counts(site.apply())


@pytest.mark.parametrize("edit", [ADD, "RUN more $D/f"])
def test_a_new_text_waits_with_the_step_that_edits_it_and_both_come_when_the_job_is_gone(site, begun, edit):
    begun(f"COPY files/f $D/f\n{edit}", {ADD: "value=1+\n"}.get(edit, "value=1\nmore\n"))
    left = text(site)
    site.file("files/f", "new=1\n")
    done = site.apply(busy=job)
    assert (text(site), counts(done)) == (left, {"deferred": 2})
    (held,) = [s for s in done.steps if s.path]
    assert "waits with post.sh:20" in held.reason
    assert job() in held.reason
    assert counts(site.apply(busy=job)) == {"deferred": 2}
    assert counts(site.apply()) == {"updated": 1, "executed": 1}
    assert text(site) == left.replace("value", "new")
    assert "executed" not in counts(site.apply())


def test_what_waits_is_named_as_pending(site, begun):
    begun(f"COPY files/f $D/f\n{ADD}", "value=1+\n")
    site.file("files/f", "new=1\n")
    site.apply(busy=job)
    assert [line.split(": ")[0] for line in site.pending()] == [
        "post.sh:20 sed -i 's/$/+/' $D/f",
        "post.sh:19 COPY files/f $D/f",
    ]


def test_a_step_that_may_run_beside_a_job_takes_its_file_with_it(site, begun):
    begun(f"COPY files/f $D/f\n{ADD} # nodeagent: anytime", "value=1+\n")
    site.file("files/f", "new=1\n")
    assert counts(site.apply(busy=job)) == {"updated": 1, "executed": 1}
    assert text(site) == "new=1+\n"


def test_of_two_steps_that_edit_one_file_none_runs_alone(site, begun):
    begun(f"COPY files/f $D/f\n{ADD} # nodeagent: anytime\n{EDIT}", "value=2+\n")
    for content in ("value=1\n", "new=1\n"):
        site.file("files/f", content)
        site.apply(busy=job)
        assert text(site) == "value=2+\n"
    assert counts(site.apply()) == {"updated": 1, "executed": 2}
    assert text(site) == "new=2+\n"


def test_a_file_that_no_step_edits_does_not_wait(site, begun):
    site.file("files/g", "1\n")
    begun(f"COPY files/f $D/f\n{ADD}\nCOPY files/g $D/g", "value=1+\n")
    site.file("files/g", "2\n")
    site.apply(busy=job)
    assert (text(site), (site.root / "g").read_text()) == ("value=1+\n", "2\n")


@pytest.mark.parametrize("words", ["on=/elsewhere", "boot"])
@pytest.mark.parametrize("edit", [ADD, "RUN more $D/f"])
def test_a_full_evaluation_leaves_alone_what_a_step_made_that_is_not_due_in_it(site, begun, edit, words):
    begun(f"COPY files/f $D/f\n{edit} # nodeagent: {words}", {ADD: "value=1+\n"}.get(edit, "value=1\nmore\n"))
    left = text(site)
    assert counts(site.apply())["skipped"] == 1
    assert text(site) == left
    (site.root / "f").write_text("by hand\n")
    site.file("files/other", "y")
    site.apply()
    assert text(site) == left


def test_a_step_that_only_edits_files_is_due_again_when_its_file_is_placed_anew(site, begun):
    begun(f"COPY files/f $D/f\n{ADD} # nodeagent: on=/elsewhere", "value=1+\n")
    site.file("files/f", "new=1\n")
    done = site.apply()
    assert (text(site), counts(done)) == ("new=1+\n", {"updated": 1, "executed": 1})
    assert f"due: {site.root}/f, which it edits, is placed anew" in [s.reason for s in done.steps]
    assert "executed" not in counts(site.apply())
    site.file("files/f", "newer=1\n")
    assert counts(site.apply(busy=job)) == {"deferred": 2}
    assert text(site) == "new=1+\n"
    site.apply()
    assert text(site) == "newer=1+\n"


def test_a_program_of_the_site_s_own_is_not_run_for_it_and_does_not_hold_a_new_text_back(site, begun):
    begun("COPY files/f $D/f\nRUN more $D/f # nodeagent: boot", "value=1\nmore\n")
    site.file("files/f", "new=1\n")
    assert counts(site.apply()) == {"updated": 1, "skipped": 1}
    assert text(site) == "new=1\n"


def test_a_text_that_is_new_each_time_keeps_its_edit_in_a_repair(site):
    site.program("echo $(date +%s%N) >$D/f\nsed -i 's/^/# /' $D/f\n")
    site.apply()
    for _ in range(3):
        before = text(site)
        done = site.apply()
        assert counts(done) == {"updated": 1, "executed": 1}
        assert text(site).startswith("# ")
        assert text(site) != before
    before = text(site)
    assert counts(site.apply(busy=job)) == {"deferred": 2}
    assert text(site) == before


def test_what_a_program_made_of_a_text_that_is_new_each_time_stays_until_a_full_evaluation(site):
    site.program("echo $(date +%s%N) >$D/f\nRUN more $D/f\n")
    site.apply()
    left = text(site)
    done = site.apply()
    assert (text(site), counts(done)) == (left, {"unchanged": 1, "skipped": 1})
    site.apply(force=True)
    assert text(site) != left
    assert text(site).endswith("\nmore\n")


def test_a_text_that_is_added_to_such_a_file_waits_too_and_is_not_added_twice(site, begun):
    begun(f"COPY files/f $D/f\necho x$(cat files/other) >>$D/f\n{ADD}", "value=1+\nx+\n")
    site.apply(busy=job)
    assert text(site) == "value=1+\nx+\n"
    site.apply()
    assert text(site) == "value=1+\nxx+\n"
    site.file("files/other", "xy")
    site.apply()
    assert text(site) == "value=1+\nxxy+\n"


@pytest.mark.parametrize("words", ["", " # nodeagent: on=/elsewhere"])
def test_a_new_text_has_the_mode_that_a_step_gave_the_old_one_while_that_step_waits(site, begun, words):
    begun(f"COPY files/f $D/f\nchmod 400 $D/f{words}\nchown 7:8 $D/f{words}", "value=1\n")
    site.file("files/f", "new=1\n")
    site.apply(busy=job)
    status = (site.root / "f").stat()
    assert (text(site), status.st_mode & 0o777, status.st_uid, status.st_gid) == ("new=1\n", 0o400, 7, 8)
    site.file("files/f", "newer=1\n", 0o755)
    site.apply(busy=job)
    site.apply()
    assert (site.root / "f").stat().st_mode & 0o777 == 0o400


def test_after_a_crash_behind_the_verb_the_step_is_still_due(site, begun):
    begun(f"COPY files/f $D/f\n{KILL} # nodeagent: always\n{ADD} # nodeagent: on=/elsewhere", "value=1+\n")
    site.file("files/f", "new=1\n")
    site.killed()
    assert text(site) == "new=1\n"
    site.apply()
    assert text(site) == "new=1+\n"


def test_a_step_that_was_dropped_from_the_program_holds_nothing_back(site, begun):
    begun(f"COPY files/f $D/f\n{ADD}", "value=1+\n")
    site.program("COPY files/f $D/f")
    site.apply(busy=job)
    assert text(site) == "value=1\n"


def test_of_very_many_files_one_that_a_step_edits_is_known_from_the_second_evaluation_on(site, monkeypatch):
    monkeypatch.setattr("nodeagent.ledger.editors._MOST", 0)
    site.program(f"COPY files/f $D/f\n{ADD}")
    site.apply()
    site.apply(force=True)
    site.file("files/other", "x")
    site.apply(busy=job)
    assert text(site) == "value=1+\n"


def test_in_a_loop_each_turn_s_file_goes_with_its_own_turn(site):
    site.file("files/g", "value=1\n")
    site.program("for n in f g; do COPY files/$n $D/$n; sed -i 's/$/+/' $D/$n # nodeagent: on=/elsewhere\ndone")
    site.apply()
    site.file("files/g", "new=1\n")
    assert counts(site.apply()) == {"unchanged": 1, "updated": 1, "skipped": 1, "executed": 1}
    assert (text(site), (site.root / "g").read_text()) == ("value=1+\n", "new=1+\n")
