import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from nodeagent.model.evaluation import Change, Phase
from nodeagent.model.events import Difference, Notice, PlannedChange, PlannedStep, TreeChange
from nodeagent.model.outcomes import PlanOutcome
from nodeagent.report.plan import Plan, as_json, as_text
from tests.unit.report import plan_document

SCHEMA_FILE = Path(__file__).resolve().parents[3] / "docs/plan.schema.json"

OUTCOME = PlanOutcome(revision="main@sha1:1", exit_status=0, finished=True, limits=("no network inside",))
CHANGED = PlannedChange(
    path="/etc/a", change=Change.UPDATED, file="post.sh", line=3, phase=Phase.COPY, detail="mode 0644 to 0600",
    diff="--- /etc/a\n+++ /etc/a\n-old\n+new\33[2J\n",
)  # fmt: skip
HIDDEN = PlannedChange(
    path="/etc/key", change=Change.CREATED, file="post.sh", line=4, phase=Phase.COPY, hidden="it looks like a secret"
)
SAME = PlannedChange(path="/etc/b", change=Change.UNCHANGED, file="post.sh", line=5, phase=Phase.APPEND)
RUNS = PlannedStep(file="post.sh", line=6, command="a b", would_run=True, reason="due", exit_status=3)
SKIPPED = PlannedStep(file="post.sh", line=7, command="c", would_run=False, reason="done")
NEW = TreeChange(path="/x", difference=Difference.NEW, detail="file, mode 0644")


def plan(*events):
    taken = Plan()
    assert all(taken.take(event) for event in events)
    return taken


def test_only_what_belongs_to_a_plan_is_taken():
    assert not Plan().take(Notice(priority=5, text="x"))


def test_a_plan_is_empty_when_nothing_would_change_and_nothing_would_run():
    assert plan(SAME, SKIPPED, NEW).is_empty
    assert not plan(CHANGED).is_empty
    assert not plan(RUNS).is_empty


def test_the_text_has_a_line_for_everything_and_no_control_character():
    text = as_text(plan(CHANGED, HIDDEN, SAME, RUNS, SKIPPED, NEW), OUTCOME, rehearsed=False)
    assert "  updated    post.sh:3  COPY     /etc/a (mode 0644 to 0600)\n" in text
    assert "    +new?[2J\n" in text
    assert "/etc/b" not in text  # it is only counted
    assert "    not shown: it looks like a secret\n" in text
    assert "  would run  post.sh:6  EXECUTE  a b (due)\n" in text
    assert "  would not  post.sh:7  EXECUTE  c (done)\n" in text
    assert text.endswith(
        "2 destinations would change (1 unchanged), 1 step would run (1 not).\nNote: no network inside."
    )


def test_the_text_of_a_rehearsal_says_how_steps_ended_and_what_became_of_the_tree():
    text = as_text(plan(RUNS, NEW), OUTCOME, rehearsed=True)
    assert "  failed     post.sh:6  EXECUTE  a b (due)\n" in text
    assert "  new        /x (file, mode 0644)\n" in text
    assert "1 step would run (1 failed, 0 not)." in text


def test_the_text_says_that_post_sh_did_not_come_to_its_end():
    ended = PlanOutcome(revision="r", exit_status=3, finished=True)
    broken = PlanOutcome(revision="r", exit_status=0, finished=False)
    assert "post.sh would end with status 3" in as_text(Plan(), ended, rehearsed=False)
    assert "did not come to its end" in as_text(Plan(), broken, rehearsed=False)


def test_the_text_says_where_post_sh_hung_and_how_often_a_step_would_run():
    hung = PlanOutcome(revision="r", exit_status=143, finished=False, incomplete="post.sh waits in line 3")
    text = as_text(plan(replace(RUNS, times=2)), hung, rehearsed=False)
    assert "(due, 2 times)\n" in text
    assert text.endswith("\nIncomplete: post.sh waits in line 3.")


def test_json_has_the_documented_layout():
    shape = as_json(plan(CHANGED, RUNS), OUTCOME, diff=False, rehearsed=False)
    assert shape["schema"] == 1
    assert shape["revision"] == "main@sha1:1"
    (change,) = shape["changes"]
    assert {"file", "line", "phase", "path", "change"} <= change.keys()
    assert "diff" not in change
    (step,) = shape["steps"]
    assert step == {
        "file": "post.sh", "line": 6, "phase": "EXECUTE", "command": "a b", "would_run": True, "reason": "due",
        "times": 1,
    }  # fmt: skip
    assert "tree" not in shape


def test_json_is_as_the_schema_in_the_documents_says():
    model = plan_document.Plan
    assert json.loads(SCHEMA_FILE.read_text()) == model.model_json_schema()
    for rehearsed in (False, True):
        shape = as_json(plan(CHANGED, RUNS, NEW), OUTCOME, diff=rehearsed, rehearsed=rehearsed)
        model.model_validate_json(json.dumps(shape))
        with pytest.raises(ValidationError):
            model.model_validate_json(json.dumps(shape | {"more": 1}))


def test_json_has_diffs_tree_and_exit_statuses_where_they_are_asked_for():
    shape = as_json(plan(CHANGED, RUNS, NEW), OUTCOME, diff=True, rehearsed=True)
    assert shape["changes"][0]["diff"] == CHANGED.diff
    assert shape["steps"][0]["exit_status"] == 3
    assert shape["tree"] == [{"path": "/x", "difference": "new", "detail": "file, mode 0644"}]
