"""The texts and fields of the log. The texts of RUN are the guide's, word for word."""

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.model.evaluation import Change, Phase, Scope, Step, Trigger
from nodeagent.model.events import (
    EvaluationEnded,
    EvaluationStarted,
    Event,
    Notice,
    PlannedChange,
    PlannedStep,
    StepEnded,
    StepLogged,
    StepOutput,
    StepStarted,
)
from nodeagent.report import catalogue
from nodeagent.report.narrator import DEBUG, ERROR, INFO, LINE_LIMIT, NOTICE, WARNING, Entry, Narrator

STARTED = EvaluationStarted(number=3, revision="main@sha1:abc", scope=Scope.FULL, trigger=Trigger.NEW_TREE)


def told(*events: Event) -> list[Entry]:
    narrator = Narrator()
    return [entry for event in events for entry in narrator.entries(event)]


def run(change: Change, exit_status: int | None, *, announce: bool = True, reason: str = "") -> list[tuple[int, str]]:
    step = Step(
        file="post.sh",
        line=7,
        phase=Phase.EXECUTE,
        change=change,
        command="ldap --fast",
        exit_status=exit_status,
        reason=reason,
    )
    return [(e.priority, e.message) for e in told(StepEnded(number=1, step=step, announce=announce))]


def native(change: Change, reason: str = "", path: str | None = "/etc/x", phase: Phase = Phase.COPY) -> Entry:
    step = Step(file="post.sh", line=7, phase=phase, change=change, path=path, reason=reason)
    (entry,) = told(StepEnded(number=1, step=step, announce=True))
    return entry


def test_a_command_is_announced_as_the_guide_s_run_does() -> None:
    (entry,) = told(StepStarted(number=1, file="post.sh", line=7, command="ldap --fast", announce=True))
    assert (entry.identifier, entry.priority, entry.message) == ("postscripts", INFO, "Running ldap --fast...")


def test_a_command_that_post_sh_announces_itself_is_not_announced_twice() -> None:
    assert told(StepStarted(number=1, file="post.sh", line=7, command="ldap", announce=False)) == []
    assert run(Change.EXECUTED, 0, announce=False) == [(DEBUG, "ldap --fast: executed")]


def test_why_a_command_runs_is_said_at_debug_priority() -> None:
    started = StepStarted(number=1, file="post.sh", line=7, command="ldap", announce=False, reason="due: a new tree")
    (entry,) = told(STARTED, started)[1:]
    assert (entry.priority, entry.message) == (DEBUG, "ldap: runs: due: a new tree")
    assert entry.fields["NODEAGENT_LINE"] == "7"


def test_a_deferral_that_is_no_news_is_said_at_debug_priority() -> None:
    assert run(Change.DEFERRED, None, announce=False, reason="busy") == [(DEBUG, "ldap --fast: deferred: busy")]


def test_exit_code_0_makes_the_guide_s_one_line() -> None:
    assert run(Change.EXECUTED, 0) == [(INFO, "ldap --fast exited with code 0")]


def test_exit_code_1_makes_the_guide_s_two_lines() -> None:
    assert run(Change.FAILED, 1) == [
        (ERROR, "ldap --fast failed with error code 1"),
        (INFO, "ldap --fast exited with code 1"),
    ]


def test_another_exit_code_makes_the_guide_s_two_lines() -> None:
    assert run(Change.FAILED, 23) == [
        (ERROR, "ldap --fast exited with error code 23"),
        (INFO, "ldap --fast exited with code 23"),
    ]


def test_a_reason_comes_before_the_guide_s_lines() -> None:
    assert run(Change.FAILED, 137, reason="killed after 600 s") == [
        (ERROR, "ldap --fast: failed: killed after 600 s"),
        (ERROR, "ldap --fast exited with error code 137"),
        (INFO, "ldap --fast exited with code 137"),
    ]


def test_a_failure_without_exit_code_has_one_line() -> None:
    assert run(Change.FAILED, None, reason="no such program") == [(ERROR, "ldap --fast: failed: no such program")]


def test_a_failure_that_post_sh_logs_itself_is_an_error_in_our_words_too() -> None:
    assert run(Change.FAILED, 2, announce=False) == [(ERROR, "ldap --fast: failed: exit status 2")]


@pytest.mark.parametrize(("change", "priority"), [(Change.SKIPPED, DEBUG), (Change.DEFERRED, NOTICE)])
def test_a_command_that_did_not_run_says_why(change: Change, priority: int) -> None:
    assert run(change, None, reason="not due") == [(priority, f"ldap --fast: {change}: not due")]


@pytest.mark.parametrize(
    ("change", "priority", "text"),
    [
        (Change.CREATED, INFO, "COPY /etc/x: created"),
        (Change.UPDATED, INFO, "COPY /etc/x: updated"),
        (Change.PRUNED, INFO, "COPY /etc/x: pruned"),
        (Change.UNCHANGED, DEBUG, "COPY /etc/x: unchanged"),
    ],
)
def test_a_native_step_says_what_became_of_its_destination(change: Change, priority: int, text: str) -> None:
    entry = native(change)
    assert (entry.identifier, entry.priority, entry.message) == ("postscripts", priority, text)
    assert entry.fields["NODEAGENT_PATH"] == "/etc/x"


def test_a_native_step_that_failed_is_an_error_with_its_reason() -> None:
    entry = native(Change.FAILED, "read-only file system", phase=Phase.APPEND)
    assert (entry.priority, entry.message) == (ERROR, "APPEND /etc/x: failed: read-only file system")
    assert entry.message_id == catalogue.STEP_FAILED


def test_a_native_step_without_a_destination_is_named_by_its_place() -> None:
    assert native(Change.FAILED, "no such file", path=None).message == "COPY: failed: no such file"
    step = Step(file="post.sh", line=7, phase=Phase.EXECUTE, change=Change.SKIPPED)
    (entry,) = told(StepEnded(number=1, step=step, announce=True))
    assert entry.message == "post.sh:7: skipped"


def test_every_entry_of_an_evaluation_has_its_fields() -> None:
    step = Step(
        file="post.sh",
        line=7,
        phase=Phase.EXECUTE,
        change=Change.EXECUTED,
        command="ldap",
        exit_status=0,
        duration_usec=12,
    )
    start, running, output, logged, end, outside, notice, ended = told(
        STARTED,
        StepStarted(number=2, file="post.sh", line=7, command="ldap", announce=True),
        StepOutput(number=2, text="out"),
        StepLogged(number=2, tag="site", priority=4, text="own"),
        StepEnded(number=2, step=step, announce=True),
        StepOutput(number=0, text="shell"),
        Notice(priority=WARNING, text="n", path="/p"),
        EvaluationEnded(
            number=3,
            revision="main@sha1:abc",
            scope=Scope.FULL,
            trigger=Trigger.NEW_TREE,
            exit_status=0,
            finished=True,
            counts={Change.CREATED: 2, Change.FAILED: 0},
            duration_usec=1_234_567,
        ),
    )
    evaluation = {"NODEAGENT_REVISION": "main@sha1:abc", "NODEAGENT_EVALUATION": "3"}
    place = {
        "NODEAGENT_STEP": "2",
        "NODEAGENT_FILE": "post.sh",
        "NODEAGENT_LINE": "7",
        "NODEAGENT_PHASE": "EXECUTE",
    }
    assert start.fields == evaluation
    assert start.message == "Evaluation 3 of main@sha1:abc begins (full, NewTree)"
    assert running.fields == output.fields == logged.fields == evaluation | place
    assert (logged.identifier, logged.priority, logged.message) == ("site", 4, "own")
    assert end.fields == evaluation | place | {
        "NODEAGENT_CHANGE": "executed",
        "EXIT_STATUS": "0",
        "DURATION_USEC": "12",
    }
    assert outside.fields == evaluation
    assert notice.identifier == "nodeagent"
    assert notice.fields == evaluation | {"NODEAGENT_PATH": "/p"}
    assert ended.fields == evaluation | {"EXIT_STATUS": "0", "DURATION_USEC": "1234567"}
    assert ended.message == "Evaluation 3 of main@sha1:abc ended with exit status 0 after 1.2 s: 2 created"
    assert {e.identifier for e in (start, running, output, end, outside, ended)} == {"postscripts"}
    assert ended.priority == INFO


@pytest.mark.parametrize(
    ("finished", "counts", "text"),
    [
        (False, {}, "was broken off with exit status 143 after 0.0 s: nothing to do"),
        (True, {Change.FAILED: 1}, "1 failed"),
    ],
)
def test_an_evaluation_that_went_badly_is_a_warning(finished: bool, counts: dict[str, int], text: str) -> None:
    (entry,) = told(
        EvaluationEnded(
            number=1,
            revision="r",
            scope=Scope.REPAIR,
            trigger=Trigger.DRIFT,
            exit_status=143,
            finished=finished,
            counts=counts,
            duration_usec=0,
        )
    )
    assert entry.priority == WARNING
    assert entry.message.endswith(text)


def test_what_comes_after_an_evaluation_does_not_carry_its_fields() -> None:
    ended = EvaluationEnded(
        number=3,
        revision="r",
        scope=Scope.FULL,
        trigger=Trigger.BOOT,
        exit_status=0,
        finished=True,
        counts={},
        duration_usec=0,
    )
    assert told(STARTED, ended, Notice(priority=INFO, text="n"))[-1].fields == {}


def test_a_problem_and_its_end_have_message_ids_and_other_notices_none() -> None:
    entries = told(
        Notice(priority=ERROR, text="t", code="WrongPassword"),
        Notice(priority=NOTICE, text="t", code="WrongPassword"),
        Notice(priority=WARNING, text="t"),
    )
    assert [e.message_id for e in entries] == [catalogue.PROBLEM, catalogue.PROBLEM_ENDED, ""]
    assert entries[0].fields == {"NODEAGENT_CODE": "WrongPassword"}


@given(st.binary(max_size=100), st.integers(1, 4_000))
def test_a_long_line_is_cut_into_entries_and_loses_no_byte(raw: bytes, times: int) -> None:
    text = os.fsdecode(raw * times)
    pieces = [os.fsencode(e.message) for e in told(StepOutput(number=0, text=text))]
    assert b"".join(pieces) == raw * times
    assert all(len(piece) <= LINE_LIMIT for piece in pieces)


def test_no_character_is_torn_where_a_line_is_cut() -> None:
    text = "a" + "\N{GRINNING FACE}" * LINE_LIMIT
    for entry in told(StepOutput(number=0, text=text)):
        entry.message.encode()


def test_control_characters_of_an_output_stay() -> None:
    assert told(StepOutput(number=0, text="a\33[1m\tb\0"))[0].message == "a\33[1m\tb\0"


def test_what_would_be_done_is_said_with_its_place_and_what_would_not_is_not():
    narrator = Narrator()
    change = PlannedChange(path="/etc/a", change=Change.UPDATED, file="post.sh", line=3, phase=Phase.COPY)
    step = PlannedStep(file="post.sh", line=4, command="touch /x", would_run=True, reason="due")
    entries = [entry for event in (change, step) for entry in narrator.entries(event)]
    assert [(e.message, e.identifier) for e in entries] == [
        ("/etc/a: would be updated (post.sh:3)", "nodeagent"),
        ("touch /x: would run (post.sh:4: due)", "nodeagent"),
    ]
    assert entries[0].fields["NODEAGENT_PATH"] == "/etc/a"
    assert {e.message_id for e in entries} == {catalogue.PLANNED}
    unchanged, skipped = replace(change, change=Change.UNCHANGED), replace(step, would_run=False)
    assert [entry for event in (unchanged, skipped) for entry in narrator.entries(event)] == []
