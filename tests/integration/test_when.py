"""When steps run: annotations, retries and deferral, with real shells, files and ledger."""

import os

import pytest

from nodeagent.errors import AnnotationInvalid
from nodeagent.model.evaluation import Change, Scope, Trigger
from nodeagent.model.events import EvaluationEnded, StepEnded, StepStarted
from nodeagent.report.narrator import DEBUG, NOTICE, Narrator
from tests.integration.site import Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.file("files/conf", "1\n")
    site.file("files/other", "1\n")
    return site


def counts(done):
    return {str(name): n for name, n in done.counts.items() if n}


def step(word, annotation="ignore=none"):
    """A step that leaves a word in the log."""
    return f"sh -c 'echo {word} >>$0' $D/ran.log # nodeagent: {annotation}\n"


def reasons(done):
    return {s.command.split()[3]: s.reason for s in done.steps if s.command}


COPIES = "COPY files/conf $D/etc/conf\nCOPY files/other $D/other\n"


def test_on_makes_a_step_due_when_a_destination_below_the_path_changed_and_not_by_a_new_tree(site):
    site.program(COPIES + step("restart", f"on={site.root}/etc"))
    site.apply()
    site.file("files/other", "2\n")
    second = site.apply()
    assert (second.scope, second.trigger) == (Scope.FULL, Trigger.NEW_TREE)
    assert counts(second) == {"updated": 1, "unchanged": 1, "skipped": 1}
    site.file("files/conf", "2\n")
    third = site.apply()
    assert site.ran() == ["restart", "restart"]
    assert f"due: {site.root}/etc/conf changed" in [s.reason for s in third.steps]
    site.apply()
    site.apply(force=True)
    assert site.ran() == ["restart"] * 3


@pytest.mark.parametrize("drift", ["content", "mode", "owner", "removed"])
def test_on_makes_a_step_due_when_drift_was_repaired(site, drift):
    site.program(COPIES + step("restart", f"on={site.root}/etc/conf"))
    site.apply()
    conf = site.root / "etc/conf"
    match drift:
        case "content":
            conf.write_text("by hand\n")
        case "mode":
            conf.chmod(0o600)
        case "owner":
            os.chown(conf, 12, 12)
        case "removed":
            conf.unlink()
    site.apply()
    assert site.ran() == ["restart", "restart"]
    site.apply()
    assert site.ran() == ["restart", "restart"]


@pytest.mark.parametrize(
    "change",
    [
        "echo line >>$D/etc/conf",
        "echo whole >$D/etc/conf",
        "ln -sfn x y; COPY files/link $D/etc/link",
        "mkdir -p $D/etc/d; rsync -a --delete files/empty/ $D/etc/d/",
    ],
)
def test_on_sees_what_each_verb_changes(site, change):
    (site.repository / "files/link").symlink_to("target")
    (site.repository / "files/empty").mkdir()
    (site.root / "etc/d").mkdir(parents=True)
    (site.root / "etc/conf").write_text("before\n")
    site.program("true\n" + step("restart", f"on={site.root}/etc"))
    site.apply()
    (site.root / "etc/d/stray").write_text("x")
    site.program(f"{change}\n" + step("restart", f"on={site.root}/etc"))
    site.apply()
    assert site.ran() == ["restart", "restart"]


def test_a_watched_change_is_not_lost_when_post_sh_ends_before_the_step(site):
    site.program(f"{COPIES}[ ! -e $D/stop ] || exit 3\n" + step("restart", f"on={site.root}/etc"))
    site.apply()
    (site.root / "stop").touch()
    site.file("files/conf", "2\n")
    broken = site.apply()
    assert broken.exit_status == 3
    (site.root / "stop").unlink()
    assert counts(site.apply()) == {"unchanged": 2, "executed": 1}
    assert site.ran() == ["restart", "restart"]


def test_a_step_of_a_boot_is_not_due_by_a_new_tree(site, monkeypatch):
    site.program(step("mount", "boot") + step("other"))
    site.apply()
    site.file("files/new", "x")
    site.apply()
    assert site.ran() == ["mount", "other", "other"]
    monkeypatch.setattr("nodeagent.node.boot_id", lambda: "another")
    assert site.apply().trigger is Trigger.BOOT
    assert site.ran() == ["mount", "other", "other", "mount", "other"]


def test_always_runs_in_every_evaluation(site):
    site.program(step("look", "always"))
    for _ in range(3):
        site.apply()
    assert site.ran() == ["look"] * 3


def test_a_failed_step_is_tried_again_as_often_as_it_says_and_then_left(site):
    site.program("sh -c 'echo try >>$0; exit 4' $D/ran.log # nodeagent: retry=2\n")
    outcomes = [counts(site.apply()) for _ in range(4)]
    assert outcomes == [{"failed": 1}, {"failed": 1}, {"failed": 1}, {"skipped": 1}]
    assert site.ran() == ["try"] * 3
    site.apply(retry=True)
    site.apply()
    assert site.ran() == ["try"] * 4
    site.file("files/new", "x")
    site.apply()
    site.apply()
    assert site.ran() == ["try"] * 6


def test_timeout_replaces_the_configured_limit(site):
    site.program(
        "sh -c 'sleep 60' # nodeagent: timeout=1\n"
        "sh -c 'sleep 1.5; echo late >>$0' $D/ran.log # nodeagent: timeout=1m\n"
    )
    done = site.apply(step=1.2)
    assert site.ran() == ["late"]
    assert [s.reason for s in done.steps if s.change is Change.FAILED] == ["ended after its time limit of 1 s"]


def test_a_run_function_is_bound_by_its_call_s_timeout(site):
    site.program("RUN sleep 60 # nodeagent: timeout=1\n")
    assert counts(site.apply()) == {"failed": 1}


class Jobs:
    """A stand-in for the probe, which has tests of its own."""

    def __init__(self):
        self.runs = ""
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.runs


@pytest.fixture
def jobs():
    return Jobs()


def test_a_due_step_waits_while_a_job_runs_and_files_do_not(site, jobs):
    jobs.runs = "job 17 runs here"
    site.program("set -e\n" + COPIES + step("restart") + "echo reached >>$D/seen\n" + step("harmless", "anytime"))
    done = site.apply(busy=jobs)
    assert counts(done) == {"created": 4, "executed": 1, "deferred": 1}
    assert reasons(done)["restart"] == "due (it has not run yet), but job 17 runs here"
    assert site.ran() == ["harmless"]
    assert not done.failed
    jobs.runs = ""
    assert counts(site.apply(busy=jobs)) == {"unchanged": 3, "executed": 1, "skipped": 1}
    assert site.ran() == ["harmless", "restart"]


def test_nobody_is_asked_about_jobs_when_no_step_is_due_that_minds(site, jobs):
    site.program(step("harmless", "anytime") + step("plain"))
    site.apply(busy=jobs)
    assert jobs.asked == 1
    site.apply(busy=jobs)
    assert jobs.asked == 1


def test_a_program_that_runs_whole_is_deferred_as_one(site, jobs):
    jobs.runs = "job 17 runs here"
    site.file("post.sh", f"#!/usr/bin/env python3\nopen('{site.root}/ran.log', 'a').write('ran ')\n", 0o755)
    done = site.apply(busy=jobs)
    assert (counts(done), done.exit_status) == ({"deferred": 1}, 0)
    jobs.runs = ""
    site.apply(busy=jobs)
    assert site.ran() == ["ran"]


def test_each_skip_and_run_says_why_at_debug_priority_and_a_deferral_once_at_notice(site, jobs):
    jobs.runs = "job 17 runs here"
    site.program(step("one", "anytime") + step("two"))
    site.apply(busy=jobs)
    first = told(site, "sh -c")
    site.apply(busy=jobs)
    second = told(site, "sh -c")
    assert (DEBUG, "runs: due: it has not run yet") in first
    assert (NOTICE, "deferred: due (it has not run yet), but job 17 runs here") in first
    assert (DEBUG, "skipped: done: not due again before a new tree, a boot or --force") in second
    assert (DEBUG, "deferred: due (it has not run yet), but job 17 runs here") in second


def told(site, command):
    narrator = Narrator()
    events = [e for e in site.recorder.events if isinstance(e, StepStarted | StepEnded)]
    entries = [entry for event in events for entry in narrator.entries(event)]
    return [(e.priority, e.message.partition(": ")[2]) for e in entries if e.message.startswith(command)]


def test_adoption_takes_deferred_and_annotated_steps_as_done(site):
    site.program(COPIES + step("restart", f"on={site.root}/etc") + step("mount", "boot"))
    site.apply(adopt=True)
    site.apply()
    assert site.ran() == []
    site.file("files/conf", "2\n")
    site.apply()
    assert site.ran() == ["restart"]


def test_a_step_that_gets_an_annotation_keeps_what_it_has_done(site):
    site.program(step("restart"))
    site.apply()
    text = (site.repository / "post.sh").read_text()
    site.file("post.sh", text.replace("# nodeagent: ", f"# nodeagent: on={site.root}/etc"), 0o755)
    site.apply()
    assert site.ran() == ["restart"]


SOURCES = [". ./part.sh\n", 'for f in part*.sh; do . "./$f"; done\n', 'use() { . "$(dirname "$0")/part.sh"; }; use\n']


@pytest.fixture(params=SOURCES)
def parted(site, request):
    """A program whose steps stand in a file that it sources."""

    def program(text):
        site.program(request.param)
        site.file("part.sh", "#!/bin/sh\n" + text.replace("$D", str(site.root)))

    site.parts = program
    return site


def test_on_in_a_sourced_file_narrows_the_step_there(parted):
    parted.parts(COPIES + step("restart", f"on={parted.root}/etc"))
    parted.apply()
    parted.file("files/other", "2\n")
    assert counts(parted.apply()) == {"updated": 1, "unchanged": 1, "skipped": 1}
    parted.file("files/conf", "2\n")
    parted.apply()
    assert parted.ran() == ["restart", "restart"]


def test_boot_in_a_sourced_file_narrows_the_step_there(parted):
    parted.parts(step("mount", "boot") + step("other"))
    parted.apply()
    parted.file("files/new", "x")
    parted.apply()
    assert parted.ran() == ["mount", "other", "other"]


def test_a_step_of_a_sourced_file_waits_for_jobs_unless_it_says_anytime(parted, jobs):
    jobs.runs = "job 17 runs here"
    parted.parts(step("restart", "idle") + step("harmless", "anytime"))
    assert counts(parted.apply(busy=jobs)) == {"deferred": 1, "executed": 1}
    assert parted.ran() == ["harmless"]


def test_mode_in_a_sourced_file_is_given_and_given_back(parted):
    parted.parts("COPY files/conf $D/etc/conf # nodeagent: mode=0400\n")
    parted.apply()
    conf = parted.root / "etc/conf"
    assert conf.stat().st_mode & 0o7777 == 0o400
    conf.chmod(0o644)
    assert parted.drifted() == ["etc/conf"]
    assert counts(parted.apply()) == {"updated": 1}
    assert conf.stat().st_mode & 0o7777 == 0o400


def test_an_annotation_of_a_sourced_file_that_cannot_be_followed_is_refused_before_anything_is_touched(parted):
    parted.parts("touch $D/x # nodeagent: onn=/etc\n")
    with pytest.raises(AnnotationInvalid, match=r"^part\.sh:2: 'onn=/etc' is no annotation"):
        parted.apply()
    assert list(parted.root.iterdir()) == []


@pytest.mark.parametrize("dot", ['. "$1"', 'if . "$1"; then :; fi', '. "$1" && :', '! . "$1" || true'])
def test_an_evaluation_ends_before_a_file_is_sourced_whose_annotations_only_then_are_seen(site, dot):
    site.program(step("before") + f"{dot}\n" + step("after"))
    site.file("part.sh", f"touch {site.root}/x # nodeagent: idle\n")
    for _ in range(2):
        with pytest.raises(
            AnnotationInvalid, match=r"^part\.sh:1: the shell reads this file as it is \(it is not named"
        ):
            site.apply(args=["./part.sh"])
        (ended,) = site.recorder.of(EvaluationEnded)
        assert not ended.finished
    assert site.ran() == ["before"]
    assert not (site.root / "x").exists()
    site.file("part.sh", f"touch {site.root}/x\n")
    assert site.apply(args=["./part.sh"]).exit_status == 0
    assert site.ran()[-1] == "after"
    assert (site.root / "x").exists()


def test_an_evaluation_ends_before_a_file_is_sourced_that_it_has_changed_if_there_are_annotations(site):
    site.program("sed -i s/TIME/now/ part.sh\n. ./part.sh\n")
    site.file("part.sh", f"touch {site.root}/TIME # nodeagent: boot\n")
    with pytest.raises(AnnotationInvalid, match="has changed since the evaluation began"):
        site.apply()
    assert not (site.root / "now").exists()
