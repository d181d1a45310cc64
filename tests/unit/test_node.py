import errno
import os
import time
from pathlib import Path

import pytest

from nodeagent import node
from nodeagent.errors import InvalidConfiguration, NodeUnusable


def test_the_boot_id_stays_for_one_boot():
    assert node.boot_id() == node.boot_id()
    assert len(node.boot_id()) == 36


def test_uptime_is_that_of_the_first_process():
    assert 0 < node.uptime() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_login_environment_is_complete_and_holds_nothing_of_the_caller(monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    environment = node.login_environment(None)
    assert environment["HOME"] == "/root"
    assert environment["PATH"].split(":")[-1] == "/bin"
    assert set(environment) == {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG"}


def test_an_environment_file_is_read_as_shells_and_systemd_write_it(tmp_path):
    file = tmp_path / "environment"
    file.write_text("# comment\n\nMASTER=mgmt\nexport NODE='a b'\nEMPTY=\nX=\"q\"\nY=a=b\n")
    environment = node.login_environment(file)
    found = {name: environment[name] for name in ("MASTER", "NODE", "EMPTY", "X", "Y")}
    assert found == {"MASTER": "mgmt", "NODE": "a b", "EMPTY": "", "X": "q", "Y": "a=b"}


@pytest.mark.parametrize("text", ["nonsense\n", "a b=c\n", "=x\n"])
def test_a_line_that_is_no_variable_is_named(tmp_path, text):
    file = tmp_path / "environment"
    file.write_text("A=1\n" + text)
    with pytest.raises(InvalidConfiguration, match=":2: NAME=VALUE"):
        node.login_environment(file)


def test_a_missing_environment_file_is_named(tmp_path):
    with pytest.raises(InvalidConfiguration, match="environment_file"):
        node.login_environment(tmp_path / "none")


def test_what_the_node_refuses_is_named_with_what_to_do():
    full = Path("/dev/full")
    with pytest.raises(NodeUnusable, match=r"^/dev/full: No space left on device: make room on its "), node.needs(full):
        full.write_text("x")


def test_the_errors_own_file_name_goes_before_the_place():
    with pytest.raises(NodeUnusable, match=r"^/the/file: "), node.needs(Path("/the/place")):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/the/file")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.ENOENT, "none", "/the/file")])
def test_an_error_that_names_nothing_or_is_not_the_nodes_keeps_its_traceback(error):
    with pytest.raises(OSError, match=r"full|none") as raised, node.needs():
        raise error
    assert raised.value is error
