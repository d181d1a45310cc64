"""A MERGE is known by what its function does: by the body that the documentation gives."""

import re
from pathlib import Path

import pytest

from nodeagent.evaluate.functions import functions
from nodeagent.evaluate.grammar import parse
from nodeagent.model.evaluation import Phase

SPEC = Path(__file__).parents[3] / "docs/spec.md"
FUNCTION = re.search(r"^MERGE\(\) \{.*?^\}\n", SPEC.read_text(), flags=re.S | re.M)[0]


def phases(text):
    known = functions({"post.sh": parse(text.encode())}, lambda flags: True)
    return {name: copy.phase for name, copy in known.copies.items()}


def test_the_function_of_the_documentation_is_a_merge():
    assert phases(FUNCTION) == {"MERGE": Phase.MERGE}


@pytest.mark.parametrize(
    "text",
    [
        FUNCTION.replace("MERGE()", "add_users()"),
        FUNCTION.replace("MERGE()", "function MERGE"),
        re.sub(r"^ +", "\t", FUNCTION, flags=re.M),
        FUNCTION.replace(" {", "\n{", 1),
    ],
)
def test_neither_its_name_nor_its_indentation_matters(text):
    assert list(phases(text).values()) == [Phase.MERGE]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cp -p", "cp"),
        ("> 1", "> 2"),
        ("nis = lines }", "nis = lines } "[:-3] + ";}"),
        ("mv -f", "mv"),
        ("return 1", "return 2"),
        ("END {", "END\n{"),
        ("-F:", "-F,"),
        ('"$1" "$2" >', '"$1" $2 >'),
        ("}\n", "  true\n}\n"),
    ],
)
def test_what_is_almost_the_same_stays_shell(old, new):
    assert old in FUNCTION
    head, _, tail = FUNCTION.rpartition(old)
    assert phases(head + new + tail) == {}


@pytest.mark.parametrize("name", ["awk", "cp", "mv", "rm"])
def test_a_program_that_has_a_function_in_the_place_of_a_tool_has_no_merge(name):
    assert phases(f"{name}() {{ :; }}\n{FUNCTION}") == {}
