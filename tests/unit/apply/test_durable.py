import errno
import os

import pytest

from nodeagent.apply import durable


def test_a_filesystem_is_synced_by_any_open_file_of_it(tmp_path):
    (tmp_path / "f").write_text("x")
    with (tmp_path / "f").open() as file:
        durable.sync_filesystem(file.fileno())


def test_what_cannot_be_synced_says_why():
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        durable.sync_filesystem(-1)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize(("release", "tells"), [("4.18.0-553.el8", False), ("5.8.0", True), ("5.14.0-70.el9", True)])
def test_a_kernel_that_keeps_a_failure_to_itself_is_not_trusted(release, tells, monkeypatch, tmp_path):
    monkeypatch.setattr(durable.os, "uname", lambda: os.uname_result(("Linux", "node", release, "", "x86_64")))
    durable._tells.cache_clear()
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        if tells:
            durable.sync_filesystem(fd)
        else:
            with pytest.raises(OSError, match="not implemented"):
                durable.sync_filesystem(fd)
    finally:
        os.close(fd)
        durable._tells.cache_clear()


def test_what_others_have_written_and_is_not_on_disk_counts_and_our_own_does_not(monkeypatch):
    monkeypatch.setattr(durable, "OTHERS", 0)
    assert not durable.much_waits(ours=2**60)
    assert durable.much_waits(ours=-1)


def test_a_file_that_cannot_be_written_out_is_left_to_fsync_to_tell(tmp_path):
    durable.begin_to_write(-1)
    (tmp_path / "f").write_text("x")
    with (tmp_path / "f").open() as file:
        durable.begin_to_write(file.fileno())
