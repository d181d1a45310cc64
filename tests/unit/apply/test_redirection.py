import os
import resource

import pytest

from nodeagent.apply.redirection import is_plain_destination, refusal


@pytest.fixture
def top(tmp_path):
    return os.path.realpath(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "/var/log/messages",
        "/var/log/sub/x",
        "/etc/../var/log/x",
        "/dev/null",
        "/dev/stdout",
        "/proc/sys/vm/swappiness",
        "/sys/kernel/mm/x",
        "/run/log/x",
        "/root/post.log",
        "/etc",
        "/",
    ],
)
def test_logs_and_what_is_no_file_are_left_to_the_shell(path):
    assert not is_plain_destination(path, cwd="/")


def test_a_fifo_and_a_link_to_the_kernel_are_left_to_the_shell(top):
    os.mkfifo(f"{top}/fifo")
    os.symlink("/proc/sys/vm/swappiness", f"{top}/tunable")
    os.symlink("/var/log", f"{top}/logs")
    for name in ("fifo", "tunable", "logs/x"):
        assert not is_plain_destination(name, cwd=top)


def test_files_and_what_will_be_one_are_for_nodeagent(top):
    open(f"{top}/file", "w").close()
    os.symlink("file", f"{top}/link")
    os.symlink("nowhere", f"{top}/dangling")
    for name in ("file", "link", "dangling", "new", "no/such", "file/x"):
        assert is_plain_destination(name, cwd=top)
    assert is_plain_destination("/variable/login", cwd=top)
    assert not is_plain_destination("log/x", cwd="/var")


def test_what_the_path_itself_refuses_cannot_be_opened(top):
    open(f"{top}/file", "w").close()
    assert refusal(f"{top}/file") == ""
    assert refusal(f"{top}/new") == ""
    assert refusal(top) == "Is a directory"
    assert refusal(f"{top}/file/x") == "Not a directory"
    assert refusal(f"{top}/no/such") == "there is no such directory"
    assert refusal(f"{top}/{'n' * 300}") == "File name too long"


def test_what_the_agent_alone_lacks_does_not_leave_a_file_to_the_shell(top):
    open(f"{top}/file", "w").close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no descriptor is left
    try:
        assert refusal(f"{top}/file") == ""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
