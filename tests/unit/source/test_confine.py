import json
import os
import pwd
import resource
import signal
import threading
from pathlib import Path

import pytest

from nodeagent.errors import FetchUserMissing
from nodeagent.source import confine as confinement
from nodeagent.source.confine import Reach, confine

USER = pwd.getpwnam("nobody")
REACH = Reach(read=("/proc", "/usr/lib"), write=())

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")


def in_child(job):
    """Run the job in a forked child; what it returns, as JSON keeps it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(20)
        try:
            os.write(write, json.dumps(job()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    return json.loads(data)


def status():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def outcome(function, *arguments):
    """The name of the error that a call fails with, or None."""
    try:
        function(*arguments)
    except OSError as error:
        return type(error).__name__
    return None


def test_the_process_is_the_user_in_every_way():
    def job():
        confine("nobody", REACH)
        return [os.getresuid(), os.getresgid(), os.getgroups()]

    assert in_child(job) == [[USER.pw_uid] * 3, [USER.pw_gid] * 3, []]


def test_there_is_no_way_back():
    def job():
        confine("nobody", REACH)
        return [
            outcome(os.setuid, 0),
            outcome(os.seteuid, 0),
            outcome(os.setgid, 0),
            outcome(os.setgroups, [0]),
            outcome(os.kill, os.getppid(), 0),
            outcome(open, "/etc/shadow", "rb"),
            outcome(open, "/etc/nodeagent-test", "wb"),
        ]

    assert in_child(job) == ["PermissionError"] * 7


def test_no_capability_is_left_and_none_can_be_gained():
    def job():
        confine("nobody", REACH)
        return status()

    found = in_child(job)
    assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert found["NoNewPrivs"] == "1"


def test_no_program_can_be_started_set_user_id_or_not():
    def job():
        confine("nobody", REACH)
        return [outcome(os.execv, "/bin/sh", ["sh"]), outcome(os.execv, "/bin/su", ["su"])]

    assert in_child(job) == ["PermissionError"] * 2


def test_neither_processes_nor_threads_can_be_made():
    def job():
        confine("nobody", REACH)
        with pytest.raises(RuntimeError, match="thread"):
            threading.Thread(target=print).start()
        return outcome(os.fork)

    assert in_child(job) == "PermissionError"


def test_the_limits_stay():
    def job():
        confine("nobody", REACH)
        for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
            with pytest.raises((ValueError, PermissionError)):
                resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return True

    assert in_child(job)


def test_a_program_can_be_started_if_it_is_the_one_and_no_other():
    def job():
        confine(
            "nobody", Reach(write=(), read=("/etc/ld.so.cache",), run=("/usr/bin/true", "/lib", "/lib64", "/usr/lib"))
        )
        assert outcome(os.execv, "/bin/sh", ["sh"]) == "PermissionError"
        os.execv("/usr/bin/true", ["true"])

    pid = os.fork()
    if pid == 0:
        try:
            job()
        finally:
            os._exit(9)
    assert os.waitpid(pid, 0)[1] == 0


def test_what_a_kernel_cannot_take_away_is_said_and_nothing_fails(monkeypatch):
    assert confinement.missing() == []
    monkeypatch.setattr(confinement.landlock, "version", lambda: 1)
    assert [what.partition(" (")[0] for what in confinement.missing()] == ["TCP ports"]
    monkeypatch.setattr(confinement.landlock, "version", lambda: 0)
    monkeypatch.setattr(confinement.seccomp, "MACHINES", ())
    assert [what.partition(" (")[0] for what in confinement.missing()] == ["files", "TCP ports", "system calls"]

    def job():
        confine("nobody", REACH)
        return [os.getuid(), outcome(open, "/etc/hostname"), outcome(os.listdir, "/etc")]

    assert in_child(job) == [USER.pw_uid, None, None]


def test_it_leaves_no_core_and_nobody_of_the_user_may_look_into_it():
    def job():
        confine("nobody", REACH)
        return [resource.getrlimit(resource.RLIMIT_CORE), os.stat("/proc/self/mem").st_uid]

    least = min(1, resource.getrlimit(resource.RLIMIT_CORE)[1] % 2**64)  # with 0 a core_pattern with a pipe is fed
    assert in_child(job) == [[least, least], 0]  # a process that may not be dumped belongs to root in /proc


def test_nothing_of_the_parents_environment_stays(monkeypatch):
    for name in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "SSH_AUTH_SOCK", "GIT_DIR"):
        monkeypatch.setenv(name, "/run/something")

    def job():
        confine("nobody", REACH)
        return dict(os.environ)

    assert set(in_child(job)) == {"PATH", "HOME", "USER", "LOGNAME", "LC_ALL"}


def test_files_are_made_for_the_user_alone():
    def job():
        confine("nobody", REACH)
        return os.umask(0)

    assert in_child(job) == 0o077


def test_it_dies_with_its_parent():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        child = os.fork()
        if child == 0:
            confine("nobody", REACH)
            os.write(write, b"confined\n")
            signal.pause()
        signal.pause()
    os.close(write)
    with open(read, "rb") as stream:
        assert stream.readline() == b"confined\n"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert stream.read() == b""  # the last that could write is gone


def test_confining_twice_is_harmless():
    def job():
        confine("nobody", REACH)
        confine("nobody", REACH)
        return os.getuid()

    assert in_child(job) == USER.pw_uid


@pytest.mark.parametrize(("user", "text"), [("no-such-user", "sysusers"), ("root", "unprivileged")])
def test_a_user_that_cannot_be_or_must_not_be_is_refused(user, text):
    def job():
        with pytest.raises(FetchUserMissing, match=f"{user}.*{text}"):
            confine(user, REACH)
        return True

    assert in_child(job)


def test_another_user_cannot_be_become_from_an_unprivileged_one():
    def job():
        confine("nobody", REACH)
        with pytest.raises(FetchUserMissing, match="daemon"):
            confine("daemon", REACH)
        return True

    assert in_child(job)
