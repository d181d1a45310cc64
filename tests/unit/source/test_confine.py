import json
import os
import pwd
import resource
import signal
from pathlib import Path

import pytest

from nodeagent.errors import FetchUserMissing
from nodeagent.source.confine import confine

USER = pwd.getpwnam("nobody")

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
        confine("nobody")
        return [os.getresuid(), os.getresgid(), os.getgroups()]

    assert in_child(job) == [[USER.pw_uid] * 3, [USER.pw_gid] * 3, []]


def test_there_is_no_way_back():
    def job():
        confine("nobody")
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
        confine("nobody")
        return status()

    found = in_child(job)
    assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert found["NoNewPrivs"] == "1"


def test_a_set_user_id_program_gives_nothing_back(tmp_path):
    def job():
        confine("nobody")
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(write, 1)
            os.execv("/tmp/nodeagent-test-id", ["id", "-u"])
        os.waitpid(pid, 0)
        return os.read(read, 100).decode()

    program = Path("/tmp/nodeagent-test-id")  # the way to tmp_path is closed for the user
    try:
        program.write_bytes(Path("/usr/bin/id").read_bytes())
        program.chmod(0o4755)
        assert in_child(job).strip() == str(USER.pw_uid)
    finally:
        program.unlink()


def test_it_leaves_no_core_and_nobody_of_the_user_may_look_into_it():
    def job():
        confine("nobody")
        return [resource.getrlimit(resource.RLIMIT_CORE), os.stat("/proc/self/mem").st_uid]

    assert in_child(job) == [[0, 0], 0]  # a process that may not be dumped belongs to root in /proc


def test_nothing_of_the_parents_environment_stays(monkeypatch):
    for name in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "SSH_AUTH_SOCK", "GIT_DIR"):
        monkeypatch.setenv(name, "/run/something")

    def job():
        confine("nobody")
        return dict(os.environ)

    assert set(in_child(job)) == {"PATH", "HOME", "USER", "LOGNAME", "LC_ALL"}


def test_files_are_made_for_the_user_alone():
    def job():
        confine("nobody")
        return os.umask(0)

    assert in_child(job) == 0o077


def test_it_dies_with_its_parent():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        child = os.fork()
        if child == 0:
            confine("nobody")
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
        confine("nobody")
        confine("nobody")
        return os.getuid()

    assert in_child(job) == USER.pw_uid


@pytest.mark.parametrize(("user", "text"), [("no-such-user", "sysusers"), ("root", "unprivileged")])
def test_a_user_that_cannot_be_or_must_not_be_is_refused(user, text):
    def job():
        with pytest.raises(FetchUserMissing, match=f"{user}.*{text}"):
            confine(user)
        return True

    assert in_child(job)


def test_another_user_cannot_be_become_from_an_unprivileged_one():
    def job():
        confine("nobody")
        with pytest.raises(FetchUserMissing, match="daemon"):
            confine("daemon")
        return True

    assert in_child(job)
