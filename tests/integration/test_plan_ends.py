"""Plans that cannot be made, and plans that are broken off: what is said, the exit code, and that nothing stays."""

import os
import re
import select
import signal
import subprocess  # noqa: TID251 - the command line as a process, which gets signals
import sys
import time
from pathlib import Path

import pytest

DEADLINE = 30.0


def repository(top: Path, body: str) -> Path:
    top.mkdir()
    (top / "post.sh").write_text(f"#!/bin/sh\n{body}\n")
    (top / "post.sh").chmod(0o755)
    return top


def start(directory: Path, *before: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
    state = directory.with_name("state")
    command = [*before, sys.executable, "-m", "nodeagent", "plan", "--repo", str(directory), "--state", str(state)]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True, start_new_session=True)


def processes(argument: str) -> list[int]:
    """Those that were given this argument."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in words:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("around", "said"),
    [
        (["setpriv", "--bounding-set", "-sys_admin"], r"unshare: Operation not permitted: .* not in a container"),
        (["unshare", "-Urm"], r"/: Operation not permitted: .* not in a container"),
        (
            ["unshare", "-m", "sh", "-c", 'mount --bind . . && mount -o remount,bind,ro . && exec "$@"', "sh"],
            r"/.*/state: Read-only file system: an apply could not write there either: name another directory",
        ),
    ],
)
def test_a_sandbox_that_cannot_be_had_is_an_error_that_says_what_and_what_to_do(tmp_path, monkeypatch, around, said):
    directory = repository(tmp_path / "repo", "true")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.chdir(tmp_path)
    output, errors = start(directory, *around).communicate(timeout=DEADLINE)
    assert output == ""
    assert re.fullmatch(f"nodeagent: a plan cannot be made on this node: {said}.*\n", errors), errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_plan_that_is_broken_off_leaves_no_process_no_mount_and_no_file(tmp_path, number):
    seconds = f"{100_000 + os.getpid()}.{int(number)}"
    directory = repository(tmp_path / "repo", f"touch here\nsleep {seconds}")
    mounts = Path("/proc/self/mountinfo").read_bytes()
    plan = start(directory)
    give_up = time.monotonic() + DEADLINE
    while not processes(seconds):
        assert time.monotonic() < give_up
        assert plan.poll() is None, plan.communicate()
        select.select([], [], [], 0.01)
    plan.send_signal(number)
    output, errors = plan.communicate(timeout=DEADLINE)
    assert (output, errors) == ("", "")
    assert plan.returncode == (130 if number is signal.SIGINT else -number)
    while processes(seconds):  # of a killed one the kernel ends the rest, in its own time
        assert time.monotonic() < give_up
        select.select([], [], [], 0.01)
    assert Path("/proc/self/mountinfo").read_bytes() == mounts
    assert os.listdir(tmp_path) == ["repo"]


def test_two_plans_at_once_do_not_hinder_one_another(tmp_path):
    directory = repository(tmp_path / "repo", f"echo a >{tmp_path}/a")
    plans = [start(directory), start(directory)]
    assert [(plan.communicate(timeout=DEADLINE)[1], plan.returncode) for plan in plans] == [("", 2)] * 2


def test_a_reader_that_has_read_enough_of_a_plan_is_no_error(tmp_path):
    directory = repository(tmp_path / "repo", "\n".join(f"echo a >{tmp_path}/{n}" for n in range(2000)))
    reader, writer = os.pipe()
    os.close(reader)
    plan = start(directory, output=writer)
    os.close(writer)
    assert plan.communicate(timeout=DEADLINE)[1] == ""
    assert plan.returncode == 1
