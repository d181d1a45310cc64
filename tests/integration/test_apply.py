"""``apply`` of a directory: when steps run, what is repaired and remembered. Real shells, files and ledger."""

import os
import threading
import time
from pathlib import Path

import pytest

from nodeagent.errors import AnnotationInvalid, NotNow, PostScriptMissing
from nodeagent.ledger import database
from nodeagent.model.evaluation import Change, Phase, Scope, Trigger
from nodeagent.model.events import Notice, StepLogged, StepOutput
from tests.integration.site import KILL, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def counts(done):
    return {str(name): n for name, n in done.counts.items() if n}


def test_the_first_apply_does_everything_and_the_second_nothing(site):
    site.file("files/a", "a\n")
    site.program("COPY files/a $D/etc/a\necho line >>$D/hosts\ntouch $D/x\nRUN sh -c 'echo ran >>$0' $D/ran.log")
    first = site.apply()
    assert (first.scope, first.exit_status) == (Scope.FULL, 0)
    assert counts(first) == {"created": 3, "executed": 2}
    second = site.apply()
    assert counts(second) == {"unchanged": 2, "skipped": 2}
    assert site.ran() == ["ran"]
    assert (site.root / "hosts").read_text() == "line\n"


def test_a_new_tree_makes_every_step_due_and_documentation_does_not(site):
    site.program("sh -c 'echo ran >>$0' $D/ran.log")
    site.apply()
    site.file("README.md", "words")
    assert site.apply().scope is Scope.REPAIR
    assert site.ran() == ["ran"]
    site.file("files/new", "x")
    again = site.apply()
    assert (again.scope, again.trigger) == (Scope.FULL, Trigger.NEW_TREE)
    assert site.ran() == ["ran", "ran"]


def test_force_makes_every_step_due(site):
    site.program("sh -c 'echo ran >>$0' $D/ran.log")
    site.apply()
    assert site.apply(force=True).trigger is Trigger.FORCE
    assert site.ran() == ["ran", "ran"]


def test_what_was_changed_by_hand_is_put_back_as_the_evaluation_left_it(site):
    site.file("files/a", "a\n")
    site.program("COPY files/a $D/a\nchmod 600 $D/a\n")
    site.apply()
    (site.root / "a").write_text("other\n")
    (site.root / "a").chmod(0o666)
    done = site.apply()
    assert counts(done) == {"updated": 1, "skipped": 1}
    assert (site.root / "a").read_text() == "a\n"
    assert (site.root / "a").stat().st_mode & 0o7777 == 0o600


def test_a_later_step_s_mode_is_left_alone_while_nothing_changes(site):
    site.file("files/a", "a\n")
    site.program("COPY files/a $D/a\nchmod 600 $D/a\n")
    site.apply()
    before = (site.root / "a").stat()
    site.apply()
    assert (site.root / "a").stat() == before


def test_text_that_a_later_step_edits_is_put_back_in_a_full_evaluation_only(site):
    site.file("files/a", "value=1\n")
    site.program("COPY files/a $D/a\nsed -i s/1/2/ $D/a\nsh -c 'cat $0/a >>$0/ran.log' $D")
    site.apply()
    assert counts(site.apply()) == {"unchanged": 1, "skipped": 2}
    assert (site.root / "a").read_text() == "value=2\n"
    site.apply(force=True)
    assert (site.root / "a").read_text() == "value=2\n"
    assert site.ran() == ["value=2", "value=2"]


@pytest.mark.parametrize("edit", ["sed -i 's/$/x/' $D/a", "(cd $D; sed -i 's/$/x/' a)"], ids=["by name", "by another"])
def test_a_step_that_edits_a_text_starts_from_the_verb_s_own_in_every_full_evaluation(site, edit):
    site.file("files/a", "value\n")
    site.program(f"COPY files/a $D/a\n{edit}")
    for wishes in ({}, {}, {"force": True}, {"force": True}):
        phases = {step.phase for step in site.apply(**wishes).steps}
        assert (site.root / "a").read_text() == "valuex\n"
        assert Phase.COPY in phases, "the program is run whole"


def test_copy_and_append_on_one_file_show_no_state_in_between(site):
    site.file("files/hosts", "127.0.0.1 localhost\n")
    site.program("COPY files/hosts $D/hosts\necho 10.0.0.1 mgmt >>$D/hosts\necho 10.0.0.2 io >>$D/hosts")
    site.apply()
    before = (site.root / "hosts").stat()
    assert counts(site.apply()) == {"unchanged": 3}
    assert (site.root / "hosts").stat() == before
    (site.root / "hosts").write_text("nonsense\n")
    site.apply()
    assert (site.root / "hosts").read_text() == "127.0.0.1 localhost\n10.0.0.1 mgmt\n10.0.0.2 io\n"


def test_an_appended_text_that_changes_replaces_the_old_one(site):
    (site.root / "hosts").write_text("site\n")
    site.file("files/more", "one\n")
    site.program("cat files/more >>$D/hosts")
    site.apply()
    with (site.root / "hosts").open("a") as hosts:
        hosts.write("by hand\n")
    site.file("files/more", "two\n")
    site.apply()
    assert (site.root / "hosts").read_text() == "site\ntwo\nby hand\n"


@pytest.mark.parametrize("operator", [">", ">>"])
def test_a_text_that_may_not_be_placed_fails_its_statement(site, operator):
    """Who may write to the directory could lead root's text anywhere."""
    (site.root / "open").mkdir()
    (site.root / "open").chmod(0o777)
    (site.root / "open/link").symlink_to(site.root / "elsewhere")
    site.program(f'echo text {operator}$D/open/link\necho "$?" >$D/status')
    site.apply()
    assert (site.root / "status").read_text() == "1\n"
    assert not (site.root / "elsewhere").exists()


def test_a_loop_appends_each_of_its_texts_once(site):
    site.program("for n in 1 2 3; do echo 10.0.0.$n node$n >>$D/hosts; done")
    site.apply()
    site.apply(force=True)
    assert len((site.root / "hosts").read_text().splitlines()) == 3


def test_a_failed_step_stays_failed_until_it_is_retried(site):
    site.file("postscripts/flaky", "#!/bin/sh\necho try >>$1/ran.log\n[ -e $1/ok ]\n", 0o755)
    site.program("RUN flaky $D\nRUN sh -c 'exit 3'\ntrue")
    first = site.apply()
    assert counts(first) == {"failed": 2}
    assert first.exit_status == 0  # the guide's RUN hides it from post.sh
    assert counts(site.apply()) == {"skipped": 2}
    (site.root / "ok").touch()
    third = site.apply(retry=True)
    assert counts(third) == {"executed": 1, "failed": 1}
    assert site.ran() == ["try", "try"]
    assert counts(site.apply(retry=True)) == {"skipped": 1, "failed": 1}
    assert site.ran() == ["try", "try"]


def test_a_failed_step_that_is_skipped_goes_on_failing_for_set_e(site):
    site.program("set -e\nsh -c 'exit 3'\nsh -c 'echo ran >>$0' $D/ran.log")
    first = site.apply()
    assert first.exit_status == 3
    assert site.apply().exit_status == 3
    assert site.ran() == []


def test_a_failure_that_run_hides_stays_hidden_when_it_is_skipped(site):
    site.program("RUN sh -c 'exit 3' || exit 9\nsh -c 'echo ran >>$0' $D/ran.log")
    assert site.apply().exit_status == 0
    done = site.apply()
    assert done.exit_status == 0
    assert any("status 3" in step.reason for step in done.steps)
    assert site.ran() == ["ran"]


def test_a_step_in_which_its_subshell_ended_failed_and_those_behind_it_are_steps(site):
    site.program("(set -e; sh -c 'exit 3'; true)\nsh -c 'echo ran >>$0' $D/ran.log")
    assert counts(site.apply()) == {"failed": 1, "executed": 1}
    assert counts(site.apply()) == {"skipped": 2}
    assert site.ran() == ["ran"]


def test_a_list_that_set_e_let_fail_does_not_end_the_next_evaluation_either(site):
    site.program("set -e\nsh -c 'exit 1' && touch $D/y\nsh -c 'echo ran >>$0' $D/ran.log")
    assert site.apply().exit_status == 0
    second = site.apply()
    assert (counts(second), second.exit_status) == ({"skipped": 2}, 0)


def test_steps_behind_an_abort_are_due_until_they_are_reached(site):
    site.file("postscripts/gate", "#!/bin/sh\n[ -e $1/ok ]\n", 0o755)
    site.program("set -e\ngate $D\nsh -c 'echo ran >>$0' $D/ran.log")
    site.apply()
    (site.root / "ok").touch()
    done = site.apply(retry=True)
    assert (counts(done), done.exit_status) == ({"executed": 2}, 0)
    assert site.ran() == ["ran"]


def test_run_logs_the_guide_s_texts_and_the_script_s_output(site):
    site.file("postscripts/speak", "#!/bin/sh\necho out\necho err >&2\nexit $1\n", 0o755)
    site.program("RUN speak 0\nRUN speak 1\nRUN speak 7")
    site.apply()
    logged = [(e.tag, e.text) for e in site.recorder.of(StepLogged)]
    assert logged == [
        ("postscripts", "Running speak 0..."),
        ("postscripts", "speak 0 exited with code 0"),
        ("postscripts", "Running speak 1..."),
        ("postscripts", "speak 1 failed with error code 1"),
        ("postscripts", "speak 1 exited with code 1"),
        ("postscripts", "Running speak 7..."),
        ("postscripts", "speak 7 exited with error code 7"),
        ("postscripts", "speak 7 exited with code 7"),
    ]
    assert [(e.number, e.text) for e in site.recorder.of(StepOutput)] == [
        (n, t) for n in (1, 2, 3) for t in ("out", "err")
    ]


def test_a_missing_source_fails_its_step_and_the_rest_goes_on(site):
    site.program("COPY files/nothing $D/x\ntouch $D/y")
    done = site.apply()
    assert counts(done) == {"failed": 1, "executed": 1}
    (failed,) = [s for s in done.steps if s.change is Change.FAILED]
    assert "nothing" in failed.reason
    assert (site.root / "y").exists()


def test_a_step_over_its_limit_is_ended_with_all_it_started(site):
    site.file("postscripts/slow", "#!/bin/sh\nsh -c 'echo $$ >>$0/pids; exec sleep 300' $1 &\nsleep 300\n", 0o755)
    site.program("RUN slow $D\nsh -c 'echo ran >>$0' $D/ran.log")
    done = site.apply(step=0.5)
    (slow, _) = [s for s in done.steps if s.change in (Change.FAILED, Change.EXECUTED)]
    assert slow.change is Change.FAILED
    assert "time limit" in slow.reason
    assert site.ran() == ["ran"]
    for pid in (site.root / "pids").read_text().split():
        assert not Path("/proc", pid).exists()


def test_what_a_step_appends_beside_the_shell_does_not_lengthen_its_time(site):
    site.program('while :; do echo x >>"$D/a"; sleep 0.1; done | sort >"$D/b"\n[ -s "$D/a" ]')
    done = site.apply(step=0.5)
    (step,) = [step for step in done.steps if step.change is Change.FAILED]
    assert "time limit of 0.5 s" in step.reason
    assert done.exit_status == 0


def test_a_step_that_was_ended_at_its_limit_failed_whatever_it_says(site):
    site.file("postscripts/calm", "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n", 0o755)
    site.program("RUN calm")
    assert counts(site.apply(step=0.5)) == {"failed": 1}


def test_a_loop_of_the_shell_itself_ends_the_evaluation(site):
    site.program("touch $D/a\nwhile ! test -e $D/never; do sleep 0.05; done\ntouch $D/b")
    done = site.apply(step=0.5)
    assert not done.finished
    assert not (site.root / "b").exists()


@pytest.mark.parametrize("shebang", ["#!/bin/sh", "#!/bin/bash", "#!/bin/bash -e"])
@pytest.mark.parametrize(
    ("statement", "limits", "status"),
    [("RUN cat <$D/fifo", {"step": 0.5}, 137), ("RUN sleep 300", {"limit": 1.0}, 143)],
    ids=["step", "evaluation"],
)
def test_where_a_time_limit_ended_post_sh_a_repair_does_not_go_on(site, shebang, statement, limits, status):
    """The plain shell has not come past it either."""
    os.mkfifo(site.root / "fifo")
    body = f"touch $D/a\n{statement}\necho x >$D/b\ntouch $D/c"
    site.program(body, shebang=shebang)
    first = site.apply(**limits)
    assert (first.exit_status, first.finished, counts(first)) == (status, False, {"executed": 1, "failed": 1})
    for _ in range(2):
        again = site.apply(**limits)
        assert (again.exit_status, again.finished, counts(again)) == (status, False, {"skipped": 2})
    assert sorted(path.name for path in site.root.iterdir()) == ["a", "fifo"]
    site.program(body.replace("300", "0").replace("<$D/fifo", "</dev/null"), shebang=shebang)
    assert site.apply(**limits).finished
    assert (site.root / "c").exists()


def test_a_stopped_step_is_still_due(site):
    site.program(f"sh -c 'echo ran >>$0; [ -e {site.root}/ok ] || sleep 300' $D/ran.log")
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    began = time.monotonic()
    first = site.apply(stop=stop)
    timer.join()
    assert not first.finished
    assert time.monotonic() - began < 10
    (site.root / "ok").touch()
    second = site.apply()
    assert (second.trigger, counts(second)) == (Trigger.UNFINISHED, {"executed": 1})
    assert site.ran() == ["ran", "ran"]


def test_a_program_of_another_language_is_one_step(site):
    site.file("post.sh", f"#!/usr/bin/env python3\nopen({str(site.root / 'ran.log')!r}, 'a').write('ran\\n')\n", 0o755)
    assert counts(site.apply()) == {"executed": 1}
    assert counts(site.apply()) == {"skipped": 1}
    assert site.ran() == ["ran"]
    assert any("run whole" in notice.text for notice in site.recorder.of(Notice))


def test_a_program_that_the_shell_refuses_is_one_failed_step(site):
    site.program("touch $D/a\nif true; then")
    done = site.apply()
    assert counts(done) == {"failed": 1}
    assert done.exit_status == 2


def test_arguments_reach_post_sh(site):
    site.program("case $1 in gpu) echo $2 >$D/role;; esac")
    site.apply(args=("gpu", "a b"))
    assert (site.root / "role").read_text() == "a b\n"


def test_functions_of_a_sourced_file_are_never_skipped(site):
    site.file("lib.sh", "configure() { WHAT=set; }\n")
    site.program('. ./lib.sh\nconfigure\necho "$WHAT" >$D/seen')
    site.apply()
    site.apply()
    assert (site.root / "seen").read_text() == "set\n"


def test_a_second_agent_does_not_wait(site):
    site.program("true")
    holding, end = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end[1])
        with database.opened(site.state, wait=False, warn=print):
            os.write(holding[1], b"x")
            os.read(end[0], 1)
        os._exit(0)
    os.read(holding[0], 1)
    with pytest.raises(NotNow):
        site.apply()
    for descriptor in (*holding, *end):
        os.close(descriptor)
    os.waitpid(pid, 0)
    site.apply()


def test_a_tree_without_post_sh_is_refused(site):
    with pytest.raises(PostScriptMissing, match=r"post\.sh"):
        site.apply()


def test_an_annotation_that_cannot_be_followed_is_refused_before_anything_is_touched(site):
    site.program("touch $D/x\ntouch $D/y # nodeagent: onn=/etc")
    with pytest.raises(AnnotationInvalid, match=r"^post\.sh:\d+: 'onn=/etc' is no annotation"):
        site.apply()
    assert list(site.root.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100])
def test_a_damaged_ledger_is_moved_aside_and_nothing_is_appended_twice(site, damage):
    site.file("files/a", "a\n")
    site.program("COPY files/a $D/a\necho line >>$D/hosts")
    site.apply()
    (site.state / "ledger.db").write_bytes(damage)
    done = site.apply()
    assert counts(done) == {"unchanged": 2}
    assert (site.root / "hosts").read_text() == "line\n"
    assert bool(site.recorder.of(Notice)) == bool(damage)


def test_what_stood_there_first_is_kept_once(site):
    (site.root / "a").write_text("theirs\n")
    site.file("files/a", "ours\n")
    site.program("COPY files/a $D/a")
    site.apply()
    site.file("files/a", "ours, newer\n")
    site.apply()
    assert [p.read_text() for p in (site.state / "kept").iterdir()] == ["theirs\n"]


def test_nothing_is_left_behind(site):
    site.program("echo a >>$D/a\nRUN true")
    site.apply()
    assert [p for p in site.runtime.rglob("*") if not p.is_dir()] == []
    assert sorted(os.listdir(site.repository)) == ["files", "post.sh", "postscripts"]


def test_the_environment_holds_nothing_of_the_service(site, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/y")
    site.program("env >$D/env")
    site.apply()
    environment = (site.root / "env").read_text()
    assert "NOTIFY_SOCKET" not in environment
    assert "CREDENTIALS_DIRECTORY" not in environment
    assert "__na_" not in environment


def test_a_step_between_two_verbs_on_one_file_is_followed_by_the_second_verb(site):
    """WRITE, chmod, COPY: the mode is COPY's, also in the second full evaluation."""
    site.file("files/f", "copied\n")
    site.program("echo written >$D/f\nchmod 600 $D/f\nCOPY files/f $D/f")
    for force in (False, True, True):
        site.apply(force=force)
        assert (site.root / "f").stat().st_mode & 0o777 == 0o644
        assert (site.root / "f").read_text() == "copied\n"


def test_an_edit_between_two_verbs_is_made_once(site):
    site.file("files/f", "copied\n")
    site.program("COPY files/f $D/f\nsed -i '$a edited' $D/f\necho appended >>$D/f")
    for force in (False, True, True, False):
        site.apply(force=force)
        assert (site.root / "f").read_text() == "copied\nedited\nappended\n"


def test_after_a_crash_what_done_steps_gave_a_file_stays(site):
    site.file("files/a", "a\n")
    site.file("files/b", "v=1\n")
    site.program(f"COPY files/a $D/a\nCOPY files/b $D/b\nchmod 600 $D/a\nsed -i s/1/2/ $D/b\n{KILL}")
    site.killed()
    done = site.apply()
    assert (done.trigger, counts(done)) == (Trigger.UNFINISHED, {"executed": 1, "skipped": 2, "unchanged": 2})
    assert (site.root / "a").stat().st_mode & 0o777 == 0o600
    assert (site.root / "b").read_text() == "v=2\n"


def test_what_a_killed_agent_s_step_still_runs_is_ended_before_the_step_runs_again(site):
    site.file("postscripts/long", "#!/bin/sh\necho $$ >>$1/ran.log\n[ -e $1/ok ] || sleep 300\n", 0o755)
    site.program("RUN long $D")
    agent = os.fork()
    if agent == 0:
        os.setsid()
        site.apply()
        os._exit(0)
    deadline = time.monotonic() + 20
    while not site.ran():
        assert time.monotonic() < deadline
    os.kill(agent, 9)
    os.waitpid(agent, 0)
    (first,) = site.ran()
    (site.root / "ok").touch()
    assert counts(site.apply()) == {"executed": 1}
    while Path("/proc", first, "exe").exists():
        assert time.monotonic() < deadline
    assert len(site.ran()) == 2


def test_the_words_of_a_run_function_carry_how_its_step_ended(site):
    site.program("RUN sh -c 'exit 3'")
    site.apply()
    said = [(e.text, e.exit_status) for e in site.recorder.of(StepLogged)]
    assert said == [
        ("Running sh -c exit 3...", None),
        ("sh -c exit 3 exited with error code 3", 3),
        ("sh -c exit 3 exited with code 3", 3),
    ]


def test_an_appended_block_that_lost_a_line_by_hand_is_made_whole(site):
    site.file("files/hosts", "10.0.0.1 mgmt\n10.0.0.2 ldap\n10.0.0.3 nfs\n")
    (site.root / "hosts").write_text("127.0.0.1 localhost\n")
    site.program("cat files/hosts >>$D/hosts")
    site.apply()
    whole = (site.root / "hosts").read_text()
    (site.root / "hosts").write_text(whole.replace("10.0.0.2 ldap\n", ""))
    site.apply()
    assert (site.root / "hosts").read_text() == whole


def test_an_apply_that_runs_no_steps_tells_those_that_may_run_and_runs_what_the_shell_needs_to_decide(site):
    site.program(
        "if sh -c 'echo asked >>$0' $D/ran.log; then\n  sh -c 'echo ran >>$0' $D/ran.log\nfi\necho >$D/x\ntouch $D/y"
    )
    done = site.apply(run_steps=False)
    steps = [(step.line, step.phase, step.change, step.exit_status, step.reason) for step in done.steps]
    first = next(line for line, *_ in steps)
    assert steps == [
        (first, "EXECUTE", "executed", None, "due: it has not run yet"),
        (first + 2, "WRITE", "created", None, ""),
        (first + 3, "EXECUTE", "executed", None, "due: it has not run yet"),
    ]
    assert (site.ran(), sorted(os.listdir(site.root))) == (["asked"], ["ran.log", "x"])
