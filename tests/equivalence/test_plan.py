"""A plan names the lines that an apply does, in the same phases."""

import json
import os
import sys

import pytest

from testbed.programs import run as start
from tests.equivalence.case import cases
from tests.equivalence.sandbox import Order

CASES = {case.name: case for case in cases()}
# What a step that is not run would have done decides what is reached below it or in it: only a rehearsal tells.
DECIDED_BY_STEPS = {
    "fail/ends-by-a-trap": "a step sends post.sh the signal that ends it",
    "fail/ends-the-shell": "a step kills post.sh",
    "for/into-a-pipe": "a step, which is a loop in a pipeline, appends",
    "login/daemons": "post.sh waits for what a step starts",
    "login/signals": "a step kills post.sh",
    "merge/near-operands": "a step makes the destination a link",
    "native/step-edits-a-copy": "a step, which is a pipeline, appends",
    "native/scratch-directory": "set -e, and a directory that a step makes",
    "sites/lustre-client": "a step makes the directory that is asked for",
    "sites/plain-copies": "post.sh waits for what a step copies",
    "set-e/by-the-first-line": "set -e, and a step that fails",
    "set-e/ends": "set -e, and a step that fails",
    "while/read-from-a-program": "a step, which is a loop in a pipeline, appends",
}
SAMPLE = ("append", "copy", "here-doc", "if", "quoting", "write")  # directories or beginnings of names


@pytest.mark.parametrize("name", [name for name in CASES if name not in DECIDED_BY_STEPS])
def test_a_plan_names_the_steps_of_the_margin(name, run):
    case = CASES[name]
    ((left,),) = run([Order(way="plan", files=case.files_for(case.shells[0]), args=case.args)])
    assert {(file, line, phase) for file, line, phase, _, _ in left.steps} == case.expected


def test_every_case_that_is_left_out_is_there():
    assert DECIDED_BY_STEPS.keys() <= CASES.keys()


def _sample():
    """Cases that need no starting tree, some for each beginning."""
    for beginning in SAMPLE:
        fit = [c for n, c in CASES.items() if n.startswith(beginning) and n not in DECIDED_BY_STEPS]
        yield from [c for c in fit if not any(path.startswith(b"/") for path in c.files)][:3]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for namespaces")
@pytest.mark.parametrize("case", list(_sample()), ids=lambda case: case.name)
def test_the_command_itself_names_them_too(case, tmp_path):
    for path, file in case.files.items():
        place = tmp_path / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.kind == "file":
            place.write_bytes(file.content)
            place.chmod(file.mode)
    command = [sys.executable, "-m", "nodeagent", "plan", "--repo", tmp_path, "--json", "--", *case.args]
    seen = json.loads(start([sys.executable, "-m", "testbed.witness", *command]))
    assert seen["touched"] == []
    plan = json.loads(seen["stdout"])
    told = {(step["file"], step["line"], step["phase"]) for step in (*plan["changes"], *plan["steps"])}
    assert told <= case.expected  # of several verbs on one destination the last one is named
    assert {where for where in case.expected if where[2] == "EXECUTE"} <= told
