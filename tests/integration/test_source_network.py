"""Polls over a network that fails: what breaks off is tried again, and leaves nothing behind."""

import contextlib
import os
import shutil
import signal
import subprocess  # noqa: TID251 - tests drive the real programs
import sys
import threading
from types import SimpleNamespace

import pytest

from nodeagent.source.poll import poll, store_path
from nodeagent.source.trust.history import ANYTHING
from nodeagent.workers import worker
from testbed.programs import wait_until
from testbed.proxy import SOUND, End, Fault, Proxy, Way

SIZE = 150_000  # bytes of a file that cannot be compressed
STEPS = 10


class Line:
    """A node, and a proxy between it and its server."""

    def __init__(self, site, proxy):
        self.site = site
        self.proxy = proxy
        url = f"ssh://root@127.0.0.1:{proxy.port}{site.repository.bare}"
        self.config = site.config(source={"url": url, "timeout": 5.0})
        self.store = store_path(self.config)

    def push(self):
        return self.site.repository.commit({"post.sh": "#!/bin/sh\n", "files/image": os.urandom(SIZE)})

    def poll(self, current="", *, interval=20.0, timeout=5.0):
        source = self.config.source.model_copy(update={"timeout": timeout})
        return self.site.poll(self.config.model_copy(update={"source": source, "interval": interval}), current)

    def assert_tidy(self):
        """The store is whole, and nothing else is there."""
        if not self.store.exists():
            return
        git = ["git", "-c", "safe.directory=*", "-C", self.store]
        subprocess.run([*git, "fsck", "--strict", "--no-dangling"], check=True, capture_output=True)
        names = {file.name for file in self.store.rglob("*") if file.is_file()}
        assert not [name for name in names if name.endswith(".lock") or "_git2_" in name]
        packs = {name.partition(".")[0] for name in names if name.startswith("pack-")}
        assert {f"{pack}.{end}" for pack in packs for end in ("pack", "idx")} <= names
        assert [entry.name for entry in self.store.parent.iterdir()] == ["store.git"]


@pytest.fixture
def line(site):
    with Proxy(site.server.port) as proxy:
        known = site.server.known_hosts_line
        site.known_hosts.write_text(known.replace(str(site.server.port), str(proxy.port)))
        yield Line(site, proxy)


@pytest.mark.parametrize("way", Way)
def test_a_connection_that_is_cut_anywhere_is_made_anew_and_nothing_is_left(line, way):
    current = line.push()
    line.poll()
    newest = line.push()
    line.poll(current)
    total = line.proxy.passed[way]  # of a poll that brings one commit
    for step in range(STEPS):
        current, newest = newest, line.push()
        end = (End.RESET, End.CLOSE)[step % 2]
        line.proxy.faults = [Fault(way=way, after=total * step // STEPS + 1, end=end), SOUND]

        outcome, events = line.poll(current)

        assert (outcome.commit, outcome.failure) == (newest, None), (step, outcome)
        assert [event.code for event in events] == ["RemoteUnreachable"]
        line.assert_tidy()


@pytest.mark.parametrize("way", Way)
def test_while_every_connection_is_cut_the_node_has_its_commit_and_the_next_sound_poll_brings_the_new_one(line, way):
    current = line.push()
    line.poll()
    newest = line.push()
    line.proxy.faults = [Fault(way=way, after=2000, end=End.RESET)]

    outcome, _ = line.poll(current, interval=1.0)

    assert outcome.failure is not None
    assert (outcome.commit, outcome.failure.code, outcome.failure.transient) == (current, "RemoteUnreachable", True)
    line.assert_tidy()
    line.proxy.faults = [SOUND]
    assert line.poll(current)[0].commit == newest


@pytest.mark.parametrize("after", [1, 1500, SIZE // 2])
def test_a_connection_that_falls_silent_is_given_up_in_time(line, after):
    line.push()
    line.proxy.faults = [Fault(after=after, end=End.SILENCE)]

    outcome, _ = line.poll(timeout=0.3, interval=1.0)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RemoteUnreachable", True)
    assert "does not answer in time" in outcome.failure.message
    line.assert_tidy()


@pytest.mark.slow
def test_a_round_trip_of_two_seconds_is_borne(line):
    commit = line.push()
    line.proxy.faults = [Fault(delay=1.0)]  # each way

    outcome, events = line.poll(timeout=20.0)  # an SSH handshake is three round trips

    assert (outcome.commit, outcome.failure, events) == (commit, None, [])


def test_a_server_that_drips_is_ended_at_the_limit_and_the_next_poll_works(line, monkeypatch):
    monkeypatch.setattr(worker, "GRACE", 0.2)
    commit = line.push()
    line.proxy.faults = [Fault(chunk=100, delay=0.1)]  # never a time without a byte

    def look(reporter, stop):
        return poll(line.config, "", stop, reporter, None, standing=ANYTHING)

    dripped = worker.run("poll", look, Recorder(), time_limit=1.0)

    assert (dripped.code, dripped.transient) == ("WorkerFailed", True)
    assert "time limit of 1 s" in dripped.message
    line.proxy.faults = [SOUND]
    assert line.poll()[0].commit == commit
    line.assert_tidy()


class Recorder:
    def report(self, event):
        pass


def killed(line, after):
    """A fetch that has got so many bytes, and is killed as the daemon does it at the limit."""
    line.proxy.faults = [Fault(after=after, end=End.SILENCE)]
    line.proxy.passed[Way.DOWN] = 0
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            poll(line.config, "", threading.Event(), None, None, standing=ANYTHING)
        os._exit(0)
    try:
        wait_until("the fetch is in the middle", lambda: line.proxy.passed[Way.DOWN] >= after)
        wait_until("it is written", lambda: any((line.store / "objects/pack").glob("pack_git2_*")))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_fetches_that_are_killed_leave_nothing_for_long_and_no_lock(line):
    commit = line.push()
    for _ in range(3):
        killed(line, SIZE // 2)
        assert len(list((line.store / "objects/pack").glob("pack_git2_*"))) == 1
    for lock in ("shallow.lock", "FETCH_HEAD.lock", "refs/heads/main.lock", "packed-refs.lock"):
        (line.store / lock).touch()
    line.proxy.faults = [SOUND]

    outcome, events = line.poll()

    assert (outcome.commit, outcome.failure, events) == (commit, None, [])
    line.assert_tidy()


POLL = """
import sys, threading
from pathlib import Path
from nodeagent.config import Config
from nodeagent.source.poll import poll
config = Config.model_validate_json(sys.stdin.read())
sys.exit(poll(config, "", threading.Event(), None, None).failure is not None)
"""
NAMING = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,ftruncate"


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True])
def test_a_fetch_that_is_killed_at_any_change_of_names_leaves_what_the_next_one_uses_or_renews(site, first):
    config = site.config()
    line = Line(site, SimpleNamespace(port=site.server.port))
    for number in range(1, 100):
        commit = line.push()
        if first:
            shutil.rmtree(line.store, ignore_errors=True)
        inject = f"inject={NAMING}:signal=KILL:when={number}"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={NAMING}", "-e", inject]
        process = subprocess.run(
            [*command, sys.executable, "-c", POLL], input=config.model_dump_json().encode(), check=False, timeout=30
        )
        outcome, _ = site.poll()

        assert (outcome.commit, outcome.failure) == (commit, None), number
        line.assert_tidy()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert number >= 5
