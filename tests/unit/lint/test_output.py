import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from nodeagent.lint import output
from nodeagent.lint.catalogue import RULES
from nodeagent.lint.finding import Finding, Severity, shown
from tests.unit.lint import lint_document

SCHEMA_FILE = Path(__file__).resolve().parents[3] / "docs/lint.schema.json"

FOUND = Finding(
    id="ln-sfn",
    severity=Severity.WARNING,
    file="postscripts/a,b:c%",
    line=3,
    column=5,
    message="100% a: b",
    fix="ln -sfn, always",
)


def test_text_is_one_line_with_the_mend_indented_below() -> None:
    assert output.text([FOUND]) == "postscripts/a,b:c%:3:5: warning: 100% a: b [ln-sfn]\n    ln -sfn, always\n"


def test_json_has_a_schema_and_every_field() -> None:
    assert json.loads(output.as_json([FOUND])) == {
        "schema": 1,
        "findings": [
            {
                "id": "ln-sfn",
                "severity": "warning",
                "file": "postscripts/a,b:c%",
                "line": 3,
                "column": 5,
                "message": "100% a: b",
                "fix": "ln -sfn, always",
            }
        ],
    }


def test_json_is_as_the_schema_in_the_documents_says() -> None:
    model = lint_document.Findings
    assert json.loads(SCHEMA_FILE.read_text()) == model.model_json_schema()
    shape = json.loads(output.as_json([replace(FOUND, id=id_) for id_ in RULES]))
    model.model_validate_json(json.dumps(shape))
    for wrong in (shape | {"more": 1}, {"schema": 2, "findings": []}, {"schema": 1, "findings": [{"id": "Wrong"}]}):
        with pytest.raises(ValidationError):
            model.model_validate_json(json.dumps(wrong))


def test_github_commands_are_escaped_as_the_runner_reads_them() -> None:
    assert output.github([FOUND]) == (
        "::warning file=postscripts/a%2Cb%3Ac%25,line=3,col=5,title=nodeagent lint%3A ln-sfn"
        "::100%25 a: b%0Aln -sfn, always\n"
    )


def test_no_finding_is_no_text() -> None:
    assert output.text([]) == output.github([]) == ""
    assert json.loads(output.as_json([])) == {"schema": 1, "findings": []}


def test_what_is_quoted_cannot_forge_a_line() -> None:
    assert shown(b"a\n::error::x\x1b[31m\xff") == "a ::error::x\\x1b[31m\\xff"
    assert shown("x" * 100) == "x" * 79 + "…"
    assert output.shown_path("a\nb") == "a\\nb"
