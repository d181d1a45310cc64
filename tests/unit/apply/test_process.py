import os
import signal
import time
from pathlib import Path

import pytest

from nodeagent.apply import process

RESETTABLE = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps two for itself


def started(*argv: str, output: int | None = None) -> process.Process:
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        return process.Process.start(argv, cwd="/", environment=os.environ, output=sink if output is None else output)
    finally:
        os.close(sink)


def wait(running: process.Process) -> int:
    deadline = time.monotonic() + 20
    while (status := running.poll()) is None:
        assert time.monotonic() < deadline
        os.sched_yield()
    running.end()
    return status


@pytest.mark.parametrize(("program", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill $$", 143)])
def test_a_status_is_what_the_shell_calls_it(program, status):
    assert wait(started("sh", "-c", program)) == status


def test_a_program_has_default_signals_and_no_descriptors_of_ours(tmp_path):
    leaked, other = os.pipe()
    os.set_inheritable(other, True)
    read, write = os.pipe()
    running = started("sh", "-c", "grep SigIgn /proc/self/status; ls /proc/$$/fd", output=write)
    os.close(write)
    with open(read) as lines:
        text = lines.read().split()
    wait(running)
    os.close(leaked)
    os.close(other)
    assert int(text[1], 16) & RESETTABLE & ~(1 << (signal.SIGXFSZ - 1)) == 0
    assert set(text[2:]) <= {"0", "1", "2", "10", "255"}


def test_ending_a_step_ends_its_tree_and_spares_what_is_older(tmp_path):
    older = started("sleep", "60")
    since = process.ticks() + 1
    deadline = time.monotonic() + 1
    while process.ticks() <= since:
        assert time.monotonic() < deadline
    step = started("sh", "-c", f"sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60' & wait")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline + 20
    assert process.end_descendants(signal.SIGKILL, since=since, spare=step.pid) == 1
    assert wait(step) in {0, 137}
    assert not Path("/proc", (tmp_path / "pid").read_text().strip(), "cwd").exists()
    assert older.poll() is None
    older.end()


def test_orphans_of_a_step_stay_in_reach(tmp_path):
    process.adopt_orphans(True)
    try:
        since = process.ticks()
        wait(started("sh", "-c", f"(sleep 60 & echo $! >{tmp_path}/pid) &"))
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
        orphan = int((tmp_path / "pid").read_text())
        while orphan not in process.descendants(since=since, spare=0):
            assert time.monotonic() < deadline
        os.kill(orphan, signal.SIGKILL)
        while Path("/proc", str(orphan)).exists():
            process.reap_orphans(0)
            assert time.monotonic() < deadline
    finally:
        process.adopt_orphans(False)


def test_a_shell_checks_its_own_syntax(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("if true; then :; fi\n")
    bad.write_text("if true; then\n")
    for shell in (["/bin/dash"], ["/bin/bash", "-e"]):
        assert process.check_syntax(shell, str(good))
        assert not process.check_syntax(shell, str(bad))
    assert not process.check_syntax(["/nonexistent"], str(good))


def test_a_background_process_can_go_on_writing_when_the_agent_has_gone(tmp_path, monkeypatch):
    """A postscript's daemon writes to what was post.sh's output for as long as it lives."""
    (tmp_path / "logger").write_text(f"#!/bin/sh\ncat >{tmp_path}/drained\necho >{tmp_path}/end\n")
    (tmp_path / "logger").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    read, write = os.pipe()
    process.leave_drain(read, "postscripts")
    os.close(read)
    assert os.write(write, b"late\n" * 50_000) > 0
    os.close(write)
    deadline = time.monotonic() + 20
    while not (tmp_path / "end").exists():
        assert time.monotonic() < deadline
    assert (tmp_path / "drained").read_bytes().startswith(b"late\n")


def agent_killed_in_a_step(tmp_path: Path, *, lead: bool) -> list[int]:
    """An agent that starts one program, then a step with another, and is killed; the pids of both."""
    read, write = os.pipe()
    agent = os.fork()
    if agent == 0:
        os.setsid()
        earlier = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
        since = process.ticks()
        while process.ticks() <= since + 1:
            os.sched_yield()
        process.StepMark(tmp_path).set()
        step = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
        os.write(write, f"{earlier} {step}".encode())
        if lead:
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
    pids = [int(word) for word in os.read(read, 100).split()]
    os.close(read)
    os.close(write)
    if not lead:
        os.waitpid(agent, 0)
    return [agent, *pids]


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return False


def test_what_a_killed_agent_s_step_still_runs_is_ended_and_nothing_older(tmp_path):
    _, earlier, step = agent_killed_in_a_step(tmp_path, lead=False)
    try:
        assert process.StepMark(tmp_path).end_leftovers() == 1
        deadline = time.monotonic() + 10
        while runs(step):
            assert time.monotonic() < deadline
        assert runs(earlier)
    finally:
        os.kill(earlier, signal.SIGKILL)
    assert process.StepMark(tmp_path).end_leftovers() == 0


def test_nothing_is_ended_while_the_agent_lives(tmp_path):
    agent, earlier, step = agent_killed_in_a_step(tmp_path, lead=True)
    try:
        assert process.StepMark(tmp_path).end_leftovers() == 0
        assert runs(step)
    finally:
        for pid in (step, earlier, agent):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(agent, 0)


@pytest.mark.parametrize("text", ["", "nonsense", "1 2", "-1 x"])
def test_a_damaged_note_ends_nothing(tmp_path, text):
    (tmp_path / "step").write_text(text)
    assert process.StepMark(tmp_path).end_leftovers() == 0


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\nerr\n"),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "sleep 1 & echo done"], 0, "done\n"),
        (["/nothing/there"], None, "No such file or directory"),
    ],
)
def test_a_question_has_a_status_and_what_was_said(argv, status, said):
    assert process.question(argv, environment={"PATH": os.defpath}, time_limit=30) == (status, said)


def test_a_question_without_an_answer_is_ended_with_all_that_it_started(tmp_path):
    argv = ["sh", "-c", f"sleep 600 & echo $! >{tmp_path}/pid; wait"]
    status, _ = process.question(argv, environment={"PATH": os.defpath}, time_limit=0.5)
    assert status is None
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while runs(child):
        assert time.monotonic() < deadline
