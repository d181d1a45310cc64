"""The guide's and the template's programs leave what ``sh post.sh`` leaves, and a second apply does nothing."""

import json
import shutil
from pathlib import Path

import pytest

from testbed import twins

FIXTURES = twins.PROJECT / "tests" / "fixtures"


@pytest.fixture(params=["guide", "template"])
def repository(request, tmp_path):
    shutil.copytree(FIXTURES / request.param, tmp_path / "repo", symlinks=True)
    return tmp_path / "repo"


@pytest.fixture(params=["/bin/sh", "/bin/bash"])
def program(request, repository):
    entry = repository / "post.sh"
    entry.write_text(entry.read_text().replace("#!/bin/sh\n", f"#!{request.param}\n", 1))
    return repository


def applied(*words: str) -> str:
    return twins.nodeagent("apply", "--repo", "/repo", "--state", "/run/state", "--json", *words)


def result(left: twins.Left) -> dict:
    return json.loads(left.output[left.output.index("{\n") :])


def test_apply_leaves_file_for_file_what_the_plain_shell_leaves(program: Path, tmp_path: Path):
    plain = twins.run(tmp_path / "plain", program, "cd /repo && ./post.sh >/dev/null 2>&1")
    ours = twins.run(tmp_path / "ours", program, applied() + " 2>/dev/null")
    differing = {
        path: (plain.tree.get(path), ours.tree.get(path))
        for path in plain.tree.keys() | ours.tree.keys()
        if plain.tree.get(path) != ours.tree.get(path)
    }
    assert differing == {}
    assert len(plain.tree) > 20
    programs = [line for line in ours.stubs if not line.startswith("logger")]
    assert programs == [line for line in plain.stubs if not line.startswith("logger")]


def test_a_second_apply_changes_appends_and_runs_nothing(program: Path, tmp_path: Path):
    twice = (
        f"{applied()} >/dev/null 2>&1; cp /run/stubs /run/first; {applied()} 2>/dev/null; cmp /run/stubs /run/first >&2"
    )
    second = result(twins.run(tmp_path / "twice", program, twice))
    changed = {name: n for name, n in second["counts"].items() if n and name not in {"unchanged", "skipped", "failed"}}
    assert changed == {}
    native_failures = {step["path"] for step in second["steps"] if step["change"] == "failed"}
    assert native_failures <= {"/etc/munge/munge.key", "/repo/files/munge/munge.key", "munge.key"}


def test_a_read_only_tree_is_applied_as_one_step(tmp_path: Path):
    repository = tmp_path / "repo"
    repository.mkdir()
    (repository / "post.sh").write_text("#!/bin/sh\necho a >>/etc/x\n")
    mount = "/bin/mount"  # the name alone is a stub
    command = f"{mount} --bind /repo /repo && {mount} -o remount,ro,bind /repo && {applied()}"
    left = twins.run(tmp_path / "ours", repository, command)
    assert result_of(left)["counts"]["executed"] == 1
    assert "read-only" in left.output
    assert "/etc/x" in left.tree


def result_of(left: twins.Left) -> dict:
    """The JSON in an output that holds journal lines too."""
    begin = left.output.index("{\n")
    return json.JSONDecoder().raw_decode(left.output[begin:])[0]
