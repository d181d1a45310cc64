"""The policy is asked through a library of the test's own: no kernel with SELinux is needed, and none is tried."""

import os
import shutil
import stat
import subprocess  # noqa: TID251 - the stand-in is compiled

import pytest

from nodeagent.apply import label

LIBRARY = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void *selabel_open(unsigned backend, void *options, unsigned count) { return backend ? NULL : (void *)"contexts"; }
int selabel_lookup_raw(void *handle, char **label, const char *path, int kind) {
    if (strcmp(handle, "contexts") || !strncmp(path, "/tmp/", 5)) return -1;
    *label = malloc(256);
    snprintf(*label, 256, "system_u:object_r:%s_%o_t:s0", strrchr(path, '/') + 1, kind);
    return 0;
}
void freecon(char *label) { free(label); }
"""


@pytest.fixture
def selinux(tmp_path, monkeypatch):
    """A node with SELinux, as far as the door can see; gives the file that stands for the kernel's."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "library.c").write_text(LIBRARY)
    library, created, enabled = (tmp_path / name for name in ("library.so", "fscreate", "enforce"))
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "library.c")]
    subprocess.run(command, check=True, capture_output=True)
    created.write_text("")
    enabled.write_text("0")
    monkeypatch.setattr(label, "_LIBRARY", str(library))
    monkeypatch.setattr(label, "_ENABLED", str(enabled))
    monkeypatch.setattr(label, "_FSCREATE", str(created))
    for asked in (label._policy, label._is_enabled):
        asked.cache_clear()
    yield created
    for asked in (label._policy, label._is_enabled):
        asked.cache_clear()


@pytest.fixture
def written(monkeypatch):
    """What is written to the kernel's file, in its order."""
    seen = []
    write = os.write

    def watched(fd, data):
        seen.append(data.decode())
        return write(fd, data)

    monkeypatch.setattr(label.os, "write", watched)
    return seen


def test_something_new_gets_the_label_of_its_path_and_type_and_nothing_else_does(selinux, written):
    with label.from_policy("/etc/slurm.conf", stat.S_IFREG):
        assert written == ["system_u:object_r:slurm.conf_100000_t:s0"]
        assert selinux.read_text() == written[0]
    assert written[1:] == [""]


def test_after_a_failure_the_label_is_the_kernel_s_again(selinux, written):
    with pytest.raises(OSError, match="full"), label.from_policy("/etc/d", stat.S_IFDIR):
        raise OSError("full")
    assert written[1:] == [""]


def test_a_path_for_which_the_policy_has_nothing_is_left_to_the_kernel(selinux, written):
    with label.from_policy("/tmp/x", stat.S_IFREG):
        pass
    assert written == []


def test_without_selinux_or_its_library_nothing_is_done(selinux, written, monkeypatch):
    monkeypatch.setattr(label, "_LIBRARY", "libselinux-that-nobody-has.so.1")
    with label.from_policy("/etc/x", stat.S_IFREG):
        pass
    monkeypatch.undo()
    with label.from_policy("/etc/x", stat.S_IFREG):
        pass
    assert written == []


def test_where_the_policy_does_not_let_the_agent_choose_the_kernel_does(selinux, monkeypatch):
    monkeypatch.setattr(label, "_FSCREATE", "/proc/1/attr/nobody")

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(label.os, "open", refuse)
    with label.from_policy("/etc/x", stat.S_IFREG):
        pass


def test_a_label_that_the_kernel_does_not_know_is_told(selinux, monkeypatch, tmp_path):
    monkeypatch.setattr(label, "_FSCREATE", str(tmp_path / "missing/fscreate"))
    with pytest.raises(FileNotFoundError), label.from_policy("/etc/x", stat.S_IFREG):
        pass
