"""Findings as text, as JSON, and as GitHub's workflow commands."""

import json
import posixpath
from collections.abc import Iterable
from dataclasses import asdict

from nodeagent.lint.finding import Finding, shown

SCHEMA = 1
_PATH_LIMIT = 4096


def text(findings: Iterable[Finding]) -> str:
    """``file:line:column: severity: message [id]``, the mend indented below."""
    lines = []
    for found in findings:
        place = f"{shown_path(found.file)}:{found.line}:{found.column}"
        lines.append(f"{place}: {found.severity.value}: {found.message} [{found.id}]\n    {found.fix}\n")
    return "".join(lines)


def as_json(findings: Iterable[Finding]) -> str:
    listed = [{**asdict(found), "severity": found.severity.value, "file": shown_path(found.file)} for found in findings]
    return json.dumps({"schema": SCHEMA, "findings": listed}, indent=2) + "\n"


def github(findings: Iterable[Finding], below: str = "") -> str:
    """One workflow command a finding: ``::error file=F,line=L,col=C,title=ID::MESSAGE``.

    The format and its escapes are those of the runner's toolkit (``@actions/core``).

    Args:
        below: where the repository that was read lies in the one that the runner checked out.
    """
    lines = []
    for found in findings:
        properties = {
            "file": shown_path(posixpath.join(below, found.file)),
            "line": str(found.line),
            "col": str(found.column),
            "title": f"nodeagent lint: {found.id}",
        }
        shown_properties = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        message = _data(f"{found.message}\n{found.fix}")
        lines.append(f"::{found.severity.value} {shown_properties}::{message}\n")
    return "".join(lines)


def shown_path(path: str) -> str:
    """A path that may be no UTF-8, or hold a newline, on one line."""
    if path.isprintable():
        return path
    return "".join(shown(c) if not c.isspace() else c.encode("unicode_escape").decode() for c in path)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
