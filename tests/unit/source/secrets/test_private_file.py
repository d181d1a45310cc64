import os

import pytest

from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets import private_file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")


def put(path, data=b"secret\n", mode=0o400):
    path.write_bytes(data)
    path.chmod(mode)
    return path


def read(path, *, in_memory=True):
    found = private_file.read(path, 100, in_memory=in_memory)
    assert found is not None
    return bytes(found.view)


def test_a_private_file_in_memory_is_read(memory):
    assert read(put(memory / "file")) == b"secret\n"
    assert read(put(memory / "writable", mode=0o600)) == b"secret\n"


def test_no_more_than_asked_for_is_read(memory):
    found = private_file.read(put(memory / "file", b"x" * 200), 100, in_memory=True)
    assert len(found) == 100


def test_what_is_not_there_is_none(memory):
    (memory / "link").symlink_to("nowhere")

    assert private_file.read(memory / "file", 100, in_memory=True) is None
    assert private_file.read(memory / "directory/file", 100, in_memory=True) is None
    assert private_file.read(memory / "link", 100, in_memory=True) is None


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o460, 0o420, 0o401])
def test_a_file_that_others_may_reach_is_refused(memory, mode):
    with pytest.raises(PasswordUnavailable, match=f"{mode:04o}"):
        read(put(memory / "file", mode=mode))


@needs_root
def test_a_file_of_somebody_else_is_refused(memory):
    os.chown(put(memory / "file"), 65534, 65534)

    with pytest.raises(PasswordUnavailable, match="belongs to user 65534"):
        read(memory / "file")


def test_a_file_on_a_disk_is_refused(disk):
    with pytest.raises(PasswordUnavailable, match="disk"):
        read(put(disk / "file"))
    assert read(disk / "file", in_memory=False) == b"secret\n"


def test_a_link_from_memory_to_a_disk_is_refused(memory, disk):
    put(disk / "file")
    (memory / "link").symlink_to(disk / "file")

    with pytest.raises(PasswordUnavailable, match="disk"):
        read(memory / "link")


def test_links_that_root_has_made_are_followed(memory):
    (memory / "real/below").mkdir(parents=True)
    put(memory / "real/below/file")
    (memory / "absolute").symlink_to(memory / "real")
    (memory / "real/relative").symlink_to("../absolute/./below/file")

    assert read(memory / "absolute/relative") == b"secret\n"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
@pytest.mark.parametrize("name", ["link", "way/file"])
def test_a_link_in_a_directory_that_others_may_write_is_refused(memory, mode, name):
    (memory / "real").mkdir()
    put(memory / "real/file")
    (memory / "open").mkdir()
    (memory / "open/link").symlink_to(memory / "real/file")
    (memory / "open/way").symlink_to(memory / "real")
    (memory / "open").chmod(mode)

    with pytest.raises(PasswordUnavailable, match=f"a link in {memory}/open, where others may write"):
        read(memory / "open" / name)


@needs_root
def test_a_link_in_a_directory_of_somebody_else_is_refused(memory):
    put(memory / "file")
    (memory / "theirs").mkdir(mode=0o755)
    (memory / "theirs/link").symlink_to(memory / "file")
    os.chown(memory / "theirs", 65534, 65534)

    with pytest.raises(PasswordUnavailable, match="where others may write"):
        read(memory / "theirs/link")


def test_links_that_lead_in_a_circle_are_told(memory):
    (memory / "link").symlink_to("link")

    with pytest.raises(PasswordUnavailable, match="Too many levels of symbolic links"):
        read(memory / "link")


def test_what_is_below_no_directory_is_told(memory):
    put(memory / "file")

    with pytest.raises(PasswordUnavailable, match="below: cannot be read: Not a directory"):
        read(memory / "file/below")


def test_a_directory_or_fifo_is_refused_without_waiting(memory):
    os.mkfifo(memory / "fifo", 0o600)
    for path in (memory / "fifo", memory):
        with pytest.raises(PasswordUnavailable, match="no regular file"):
            read(path)


def test_no_descriptor_stays_open(memory, disk):
    before = os.listdir("/proc/self/fd")
    read(put(memory / "file"))
    with pytest.raises(PasswordUnavailable):
        read(put(disk / "file"))
    with pytest.raises(PasswordUnavailable):
        read(memory / "file/below")
    assert os.listdir("/proc/self/fd") == before
