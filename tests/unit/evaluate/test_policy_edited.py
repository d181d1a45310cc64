"""The table of what becomes of a file that steps edit behind the verb that places it."""

import pytest

from nodeagent.evaluate.policy import Action, Editor, Verdict, edited_file
from nodeagent.model.destinations import Treatment

LEAVE, HOLD, ANEW = Treatment.LEAVE, Treatment.HOLD, Treatment.ANEW


def editor(now, *, named=True, busy=False):
    """``busy``: a job keeps it from running."""
    now = Action.DEFER if now is Action.RUN and busy else now
    anew = Action.DEFER if busy else Action.RUN
    return Editor(now=Verdict(action=now, reason=""), anew=Verdict(action=anew, reason=""), named=named)


DUE = editor(Action.RUN)
WAITS = editor(Action.RUN, busy=True)
DONE = editor(Action.SKIP)
DONE_WAITS = editor(Action.SKIP, busy=True)
PROGRAM = editor(Action.RUN, named=False)
PROGRAM_WAITS = editor(Action.RUN, named=False, busy=True)
PROGRAM_DONE = editor(Action.SKIP, named=False)

CASES = [
    # the steps; in a full evaluation: the same text, another one; in a repair: likewise
    ([DUE], ANEW, ANEW, ANEW, ANEW),
    ([WAITS], HOLD, HOLD, HOLD, HOLD),
    ([DONE], LEAVE, ANEW, LEAVE, ANEW),
    ([DONE_WAITS], LEAVE, HOLD, LEAVE, HOLD),
    ([PROGRAM], ANEW, ANEW, ANEW, ANEW),
    ([PROGRAM_WAITS], HOLD, HOLD, HOLD, HOLD),
    ([PROGRAM_DONE], LEAVE, ANEW, LEAVE, LEAVE),
    ([DUE, DONE], ANEW, ANEW, ANEW, ANEW),
    ([DUE, DONE_WAITS], HOLD, HOLD, HOLD, HOLD),  # the one that is due may run beside a job
    ([DUE, WAITS], HOLD, HOLD, HOLD, HOLD),
    ([WAITS, PROGRAM_DONE], HOLD, HOLD, HOLD, HOLD),
    ([DUE, PROGRAM_DONE], LEAVE, ANEW, LEAVE, LEAVE),
    ([DONE, PROGRAM_DONE], LEAVE, ANEW, LEAVE, LEAVE),
]


@pytest.mark.parametrize(("editors", "same", "other", "same_in_repair", "other_in_repair"), CASES)
def test_a_file_is_placed_anew_only_together_with_all_that_edits_it(
    editors, same, other, same_in_repair, other_in_repair
):
    found = [edited_file(editors, changed=changed, full=full) for full in (True, False) for changed in (False, True)]
    assert found == [same, other, same_in_repair, other_in_repair]
