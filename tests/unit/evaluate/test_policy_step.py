"""The table of what becomes of an EXECUTE step (design section 4, *due*)."""

from dataclasses import replace

import pytest

from nodeagent.evaluate.policy import Action, Facts, step
from nodeagent.model.evaluation import Annotation, Attempt, Scope, Trigger

PLAIN = Annotation()
BOOT = Annotation(boot=True)
ALWAYS = Annotation(always=True)
ON = Annotation(on=("/etc/slurm",))
RETRY = Annotation(retry=2)

# The last full evaluation was number 5, the one under way is number 7, in boot b1.
DONE = Attempt(succeeded=True, exit_status=0, statement_status=0, evaluation=6, boot="b1", tries=1, tick=0)
BEFORE = replace(DONE, evaluation=4)
IN_FULL = replace(DONE, evaluation=5)
EARLIER_BOOT = replace(DONE, evaluation=4, boot="b0")
FAILED = Attempt(succeeded=False, exit_status=3, statement_status=1, evaluation=6, boot="b1", tries=1, tick=0)
FAILED_BEFORE = replace(FAILED, evaluation=4)
BUSY = "job 17 runs here"
CONF = "/etc/slurm/slurm.conf"

RUN, SKIP, DEFER, ADOPT = Action.RUN, Action.SKIP, Action.DEFER, Action.ADOPT

CASES = [
    # what the comment says, the last attempt, what else is so, what becomes of it, and words of the reason
    (PLAIN, None, {}, RUN, "has not run yet"),
    (PLAIN, DONE, {}, SKIP, "a new tree, a boot or --force"),
    (PLAIN, IN_FULL, {}, SKIP, "done"),
    (PLAIN, BEFORE, {}, RUN, "a new tree"),
    (PLAIN, BEFORE, {"renewed_by": Trigger.BOOT}, RUN, "a boot"),
    (PLAIN, BEFORE, {"renewed_by": None}, RUN, "a full evaluation"),
    (PLAIN, BEFORE, {"forced": 5, "renewed_by": Trigger.FORCE}, RUN, "--force"),
    (PLAIN, DONE, {"changed": CONF}, SKIP, "done"),
    (PLAIN, DONE, {"retry": True}, SKIP, "done"),
    (PLAIN, FAILED, {}, SKIP, "failed before with status 3: `nodeagent apply --retry`"),
    (PLAIN, FAILED, {"retry": True}, RUN, "--retry asks for it"),
    (PLAIN, FAILED_BEFORE, {}, RUN, "a new tree"),
    (RETRY, FAILED, {}, RUN, "retry 1 of 2"),
    (RETRY, replace(FAILED, tries=2), {}, RUN, "retry 2 of 2"),
    (RETRY, replace(FAILED, tries=3), {}, SKIP, "failed before"),
    (RETRY, replace(FAILED, tries=3), {"retry": True}, RUN, "--retry"),
    (RETRY, replace(FAILED_BEFORE, tries=3), {}, RUN, "a new tree"),
    (RETRY, DONE, {}, SKIP, "done"),
    (ON, None, {}, RUN, "has not run yet"),
    (ON, DONE, {}, SKIP, "a change under /etc/slurm, a boot or --force"),
    (ON, BEFORE, {}, SKIP, "a change under /etc/slurm"),
    (ON, DONE, {"changed": CONF}, RUN, f"{CONF} changed"),
    (ON, FAILED, {"changed": CONF}, RUN, f"{CONF} changed"),
    (ON, EARLIER_BOOT, {}, RUN, "a boot"),
    (ON, BEFORE, {"forced": 5}, RUN, "--force"),
    (ON, DONE, {"forced": 5}, SKIP, "done"),
    (ON, FAILED, {}, SKIP, "failed before with status 3"),
    (ON, FAILED_BEFORE, {}, RUN, "failed before, and the evaluation is a full one"),
    (BOOT, None, {}, RUN, "has not run yet"),
    (BOOT, DONE, {}, SKIP, "a boot or --force"),
    (BOOT, BEFORE, {}, SKIP, "a boot or --force"),
    (BOOT, EARLIER_BOOT, {}, RUN, "a boot"),
    (BOOT, BEFORE, {"forced": 5}, RUN, "--force"),
    (BOOT, FAILED, {}, SKIP, "failed before"),
    (BOOT, FAILED_BEFORE, {}, RUN, "a full one"),
    (replace(BOOT, on=ON.on), DONE, {"changed": CONF}, RUN, f"{CONF} changed"),
    # its file is placed anew
    (PLAIN, DONE, {"anew": CONF}, RUN, f"{CONF}, which it edits, is placed anew"),
    (ON, DONE, {"anew": CONF}, RUN, "is placed anew"),
    (BOOT, DONE, {"anew": CONF}, RUN, "is placed anew"),
    (PLAIN, FAILED, {"anew": CONF}, RUN, "is placed anew"),
    (PLAIN, DONE, {"anew": CONF, "busy": BUSY}, DEFER, f"is placed anew), but {BUSY}"),
    (ALWAYS, None, {}, RUN, "has not run yet"),
    (ALWAYS, DONE, {}, RUN, "always"),
    (ALWAYS, FAILED, {}, RUN, "always"),
    # jobs
    (PLAIN, None, {"busy": BUSY}, DEFER, f"due (it has not run yet), but {BUSY}"),
    (PLAIN, BEFORE, {"busy": BUSY}, DEFER, "a new tree"),
    (PLAIN, DONE, {"busy": BUSY}, SKIP, "done"),
    (PLAIN, FAILED, {"busy": BUSY}, SKIP, "failed before"),
    (PLAIN, FAILED, {"busy": BUSY, "retry": True}, DEFER, "--retry"),
    (RETRY, FAILED, {"busy": BUSY}, DEFER, "retry 1 of 2"),
    (ON, DONE, {"busy": BUSY, "changed": CONF}, DEFER, f"{CONF} changed"),
    (ALWAYS, DONE, {"busy": BUSY}, DEFER, "always"),
    (Annotation(anytime=True), None, {"busy": BUSY}, RUN, "has not run yet"),
    (replace(ON, anytime=True), DONE, {"busy": BUSY, "changed": CONF}, RUN, "changed"),
    # adoption
    (PLAIN, None, {"scope": Scope.ADOPT}, ADOPT, "adopted"),
    (PLAIN, None, {"scope": Scope.ADOPT, "busy": BUSY}, ADOPT, "adopted"),
    (PLAIN, FAILED, {"scope": Scope.ADOPT}, ADOPT, "adopted"),
    (PLAIN, BEFORE, {"scope": Scope.ADOPT}, ADOPT, "adopted"),
    (PLAIN, DONE, {"scope": Scope.ADOPT}, SKIP, "done"),
    (ON, DONE, {"scope": Scope.ADOPT, "changed": CONF}, ADOPT, "adopted"),
    (ALWAYS, DONE, {"scope": Scope.ADOPT}, ADOPT, "adopted"),
]


@pytest.mark.parametrize(("annotation", "attempt", "changes", "action", "words"), CASES)
def test_what_becomes_of_a_step_and_why(annotation, attempt, changes, action, words):
    facts = {"scope": Scope.REPAIR, "boot": "b1", "full": 5, "renewed_by": Trigger.NEW_TREE} | changes
    verdict = step(Facts(annotation=annotation, attempt=attempt, **facts))
    assert verdict.action is action
    assert words in verdict.reason


def test_a_step_that_failed_and_is_left_has_its_old_status_again():
    facts = Facts(scope=Scope.REPAIR, boot="b1", annotation=PLAIN, attempt=FAILED, full=5)
    assert step(facts).status == 1
    assert step(replace(facts, busy=BUSY, retry=True)).status == 0


def test_only_a_try_more_of_a_failed_step_counts_on():
    facts = Facts(scope=Scope.REPAIR, boot="b1", annotation=RETRY, attempt=FAILED, full=5)
    assert step(facts).again
    assert step(replace(facts, retry=True)).again
    assert not step(replace(facts, attempt=FAILED_BEFORE)).again
    assert not step(replace(facts, attempt=None)).again
