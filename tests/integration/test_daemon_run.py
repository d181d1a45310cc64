"""``nodeagent run`` as a whole: a real server, real workers, the command line beside it."""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.workers import child

PROJECT = Path(__file__).parents[2]
CLONE_NEWNS, MS_PRIVATE_REC = 0x20000, 0x44000  # <sched.h>, <sys/mount.h>
DEADLINE = 30.0
PROGRAM = '#!/bin/sh\nCOPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }\n'


def until(probe: Callable[[], Any]) -> Any:
    """Wait until the probe gives something true."""
    give_up = time.monotonic() + DEADLINE
    while not (value := probe()):
        assert time.monotonic() < give_up, "it does not happen"
        select.select([], [], [], 0.01)
    return value


class Node:
    """A node that follows the site, in a mount namespace whose ``/run`` is empty: no journal is there to write to."""

    def __init__(self, site):
        self.site = site
        self.log = site.directory / "log"
        self.root = site.directory / "root"
        self.root.mkdir()
        self.file = site.directory / "nodeagent.toml"
        self.process: child.Child | None = None
        self.configure()

    def configure(self, *, interval: float = 1, **source: str) -> None:
        self.file.write_text(self.configuration(interval=interval, **source))

    def configuration(self, *, interval: float, **source: str) -> str:
        config = self.site.config(source=source) if source else self.site.config()
        return (
            f'interval = {interval}\njitter = 0\nretry_delay = 0.1\nfirst_start = "apply"\n'
            f'[source]\nurl = "{config.source.url}"\nkey = "{config.source.key}"\n'
            f'known_hosts = "{config.source.known_hosts}"\ncheckout = "{config.source.checkout}"\n'
            f'user = "{config.source.user}"\n[password]\nfile = "{config.password.file}"\n'
            f'[paths]\nstate = "{config.paths.state}"\ncache = "{config.paths.cache}"\n'
            f'runtime = "{config.paths.runtime}"\n[jobs]\nprobe = "{config.jobs.probe}"\n'
        )

    def push(self, body: str, **files: str) -> str:
        return self.site.repository.commit({"post.sh": f"{PROGRAM}D={self.root}\n{body}\n", **files})

    def call(self, *argv: str) -> child.Child:
        """Start a verb, as a process of its own."""

        def program() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(CLONE_NEWNS) == 0
            assert libc.mount(b"none", b"/", None, MS_PRIVATE_REC, None) == 0
            assert libc.mount(b"none", b"/run", b"tmpfs", 0, None) == 0
            log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ["PYTHONPATH"] = str(PROJECT)
            os.execv(sys.executable, [sys.executable, "-m", "nodeagent", *argv, "--config", str(self.file)])

        return child.fork(program, keep=(), session=True)

    def finish(self, *argv: str) -> str:
        """Run a verb to its end; how it ended, empty for exit code 0."""
        return ended(self.call(*argv))

    def start(self) -> None:
        self.process = self.call("run")

    def stop(self) -> tuple[str, float]:
        """Ask the daemon to end; how it did, and how many seconds it took."""
        assert self.process is not None
        process, self.process = self.process, None
        begun = time.monotonic()
        process.send(signal.SIGTERM)
        return ended(process), time.monotonic() - begun

    @property
    def runtime(self) -> Path:
        return self.site.memory / "run"

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self.runtime / "status.json").read_text())
        return {}

    def conditions(self) -> dict[str, str]:
        return {c["type"]: c["reason"] for c in self.status().get("conditions", ()) if c["status"] == "True"}

    def applied(self, commit: str) -> bool:
        return self.status().get("revision", {}).get("applied") == f"main@sha1:{commit}"

    def lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


def ended(process: child.Child) -> str:
    assert process.wait(time.monotonic() + DEADLINE), "it does not end"
    ending = process.ending()
    process.reap()
    return ending


@pytest.fixture
def node(site) -> Iterator[Node]:
    subject = Node(site)
    yield subject
    if subject.process is not None:
        subject.process.kill()
        subject.process.reap()


def running(pattern: str) -> list[int]:
    """The processes whose command line has the text in it."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if pattern.encode() in Path(f"/proc/{int(name)}/cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(name))
    return found


def test_the_daemon_follows_the_branch_says_so_and_leaves_nothing_secret_behind(node):
    first = node.push("COPY files/motd $D/motd\necho started >>$D/steps", **{"files/motd": "one\n"})
    node.start()
    until(lambda: node.applied(first))
    assert (node.root / "motd").read_text() == "one\n"
    assert node.conditions() == {"Ready": "Succeeded"}
    second = node.push("COPY files/motd $D/motd\necho started >>$D/steps", **{"files/motd": "two\n"})
    until(lambda: node.applied(second))
    assert (node.root / "motd").read_text() == "two\n"
    assert node.finish("status") == ""
    text = "\n".join(node.lines())
    assert f"  applied    main@sha1:{second}" in text
    assert list((node.runtime / "private").glob("deploy_key.*"))
    ending, seconds = node.stop()
    assert ending == ""
    assert seconds < 5
    assert not list((node.runtime / "private").glob("deploy_key.*"))
    assert node.finish("status") == ""
    assert "(the daemon is not running; this is its last word)" in "\n".join(node.lines())


def test_a_file_changed_by_hand_is_put_back_and_quiet_cycles_log_nothing(node):
    commit = node.push("COPY files/motd $D/motd", **{"files/motd": "right\n"})
    node.start()
    until(lambda: node.applied(commit))
    before = node.lines()
    polls = (node.site.server.directory / "log").read_text().count("Accepted publickey")
    until(lambda: (node.site.server.directory / "log").read_text().count("Accepted publickey") >= polls + 3)
    assert node.lines() == before
    (node.root / "motd").write_text("wrong\n")
    until(lambda: (node.root / "motd").read_text() == "right\n")
    until(lambda: any("COPY" in line and "updated" in line for line in node.lines()[len(before) :]))


def test_what_a_command_line_did_shows_in_the_daemon_s_status(node):
    node.push("cp $D/fixed $D/copy")
    node.start()
    until(lambda: node.conditions().get("Degraded") == "StepsFailed")
    (node.root / "fixed").touch()
    assert node.finish("apply", "--retry") == ""
    until(lambda: node.conditions() == {"Ready": "Succeeded"})


def test_a_wrong_host_key_stalls_is_said_once_and_ends_when_it_is_right_again(node):
    commit = node.push("touch $D/ran")
    right = node.site.known_hosts.read_text()
    node.site.known_hosts.write_text(right.replace("AAAAC3NzaC1lZDI1NTE5AAAA", "AAAAC3NzaC1lZDI1NTE5AAAB"))
    node.start()
    reason = until(lambda: node.conditions().get("Stalled"))
    assert reason == "HostKeyMismatch"
    next_poll = node.status()["next_poll"]
    until(lambda: node.status()["next_poll"] >= next_poll + 3)
    assert len(node.lines()) == 1
    assert not (node.root / "ran").exists()
    corrected = node.site.known_hosts.with_name("corrected")  # a file that is written in place is empty for a moment
    corrected.write_text(right)
    corrected.rename(node.site.known_hosts)
    until(lambda: node.applied(commit))
    assert node.conditions() == {"Ready": "Succeeded"}
    assert any(f"recovered from {reason}" in line for line in node.lines())


def test_while_the_server_is_away_the_node_is_kept_and_the_daemon_recovers(node):
    commit = node.push("COPY files/motd $D/motd", **{"files/motd": "right\n"})
    node.start()
    until(lambda: node.applied(commit))
    node.site.server.stop()
    until(lambda: node.conditions().get("Reconciling") == "RemoteUnreachable")
    (node.root / "motd").unlink()
    until((node.root / "motd").exists)
    assert node.conditions()["Ready"] == "Succeeded"
    node.site.server.start()
    until(lambda: node.conditions() == {"Ready": "Succeeded"})
    troubles = [line for line in node.lines() if line.startswith("nodeagent: ")]
    assert len(troubles) <= 9  # not one an attempt: ten come in a second
    assert troubles[-1] == "nodeagent: poll: recovered from RemoteUnreachable"


def test_a_stop_in_the_middle_of_an_apply_ends_within_five_seconds_and_the_step_with_it(node):
    node.push(f"touch $D/began\nsleep 98765.4321; touch $D/{'never'}")
    node.start()
    until((node.root / "began").exists)
    until(lambda: running("sleep 98765.4321"))
    ending, seconds = node.stop()
    assert ending == ""
    assert seconds < 5
    until(lambda: not running("sleep 98765.4321"))
    assert not (node.root / "never").exists()


def test_a_daemon_that_was_killed_in_the_middle_of_an_apply_is_made_good_by_the_next(node):
    commit = node.push("echo x >>$D/tries\ntest -e $D/go || sleep 98765.1234\ntouch $D/done")
    node.start()
    until(lambda: running("sleep 98765.1234"))
    assert node.process is not None
    node.process.send(signal.SIGKILL)
    assert ended(node.process) == "killed by signal 9 (Killed)"
    for pid in running("sleep 98765.1234"):
        os.kill(pid, signal.SIGKILL)
    (node.root / "go").touch()
    node.start()
    until(lambda: node.applied(commit))
    assert (node.root / "done").exists()
    assert node.conditions() == {"Ready": "Succeeded"}


def test_a_configuration_that_post_sh_replaces_is_in_force_from_the_next_cycle_on(node):
    post = f"COPY files/nodeagent.toml {node.file}"
    commit = node.push(post, **{"files/nodeagent.toml": node.configuration(interval=3_600)})
    node.start()
    until(lambda: node.applied(commit))
    until(lambda: node.status()["next_poll"] > time.time() + 600)
    assert node.conditions() == {"Ready": "Succeeded"}


def test_from_observing_to_applying_and_back_a_reload_is_enough(node):
    def observe(mode: str) -> None:
        node.file.write_text(f'mode = "{mode}"\n{node.configuration(interval=1)}')
        if node.process is not None:
            node.process.send(signal.SIGHUP)

    observe("observe")
    first = node.push("echo 1 >$D/x\ntouch $D/done")
    node.start()
    until(lambda: node.status().get("pending") == ["post.sh:5 touch $D/done"])
    assert (node.status()["mode"], os.listdir(node.root)) == ("observing", [])
    observe("apply")
    until(lambda: node.applied(first) and (node.root / "done").exists())
    until(lambda: node.status()["pending"] == [] and node.conditions() == {"Ready": "Succeeded"})
    assert node.status()["mode"] == "applying"
    observe("observe")
    until(lambda: node.status()["mode"] == "observing")
    (node.root / "x").write_text("by hand\n")
    node.push("echo 2 >$D/x\ntouch $D/done $D/more")
    until(lambda: node.status()["pending"] == ["post.sh:5 touch $D/done $D/more"])
    assert node.applied(first)
    assert (node.root / "x").read_text() == "by hand\n"
    assert sorted(os.listdir(node.root)) == ["done", "x"]


def test_a_second_daemon_is_refused_with_exit_code_75(node):
    commit = node.push("touch $D/ran")
    node.start()
    until(lambda: node.applied(commit))
    assert node.finish("run") == "exited with code 75"
    assert any("the daemon is at work already" in line for line in node.lines())


def test_at_rest_the_daemon_is_one_process_of_at_most_55_mib(node):
    commit = node.push("touch $D/ran")
    node.configure(interval=3_600)
    node.start()
    until(lambda: node.applied(commit))
    assert node.process is not None
    pid = node.process.pid
    until(lambda: not Path(f"/proc/{pid}/task/{pid}/children").read_text())
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) <= 55 * 1024
    assert "Threads:\t1\n" in status
