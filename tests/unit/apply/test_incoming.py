import hashlib
import os

import pytest

from nodeagent.apply.incoming import Incoming

SIZES = [0, 1, 1000, 2**20, 5 * 2**20 + 1]


@pytest.fixture
def drain(tmp_path):
    fd = os.open(tmp_path / "drain", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("digest_first", [True, False])
def test_the_content_arrives_and_its_digest_is_right(tmp_path, drain, size, digest_first):
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    with Incoming(str(tmp_path / "f"), dir_fd=None) as incoming:
        if digest_first:
            assert incoming.digest == hashlib.sha256(data).hexdigest()
        incoming.pour(drain)
        assert incoming.digest == hashlib.sha256(data).hexdigest()
        assert incoming.equals(drain)
        os.pwrite(drain, b"more", size)
        assert not incoming.equals(drain)
    assert (tmp_path / "drain").read_bytes() == data + b"more"


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_file_that_differs_in_its_last_byte_is_not_equal(tmp_path, drain, size):
    data = bytearray(os.urandom(size))
    (tmp_path / "f").write_bytes(data)
    data[-1] ^= 1
    (tmp_path / "drain").write_bytes(data)
    with Incoming(str(tmp_path / "f"), dir_fd=None) as incoming:
        assert not incoming.equals(drain)


@pytest.mark.parametrize("more", [1, 3 * 2**20])
def test_what_is_added_while_a_file_is_read_is_read_too(tmp_path, drain, more):
    (tmp_path / "f").write_bytes(b"start")
    with Incoming(str(tmp_path / "f"), dir_fd=None) as incoming:
        with open(tmp_path / "f", "ab") as growing:
            growing.write(b"x" * more)
        incoming.pour(drain)
        assert incoming.digest == hashlib.sha256(b"start" + b"x" * more).hexdigest()
    assert (tmp_path / "drain").read_bytes() == b"start" + b"x" * more


def test_a_large_file_that_changes_between_the_digest_and_the_copy_is_an_error(tmp_path, drain):
    (tmp_path / "f").write_bytes(b"x" * SIZES[-1])
    with Incoming(str(tmp_path / "f"), dir_fd=None) as incoming:
        assert incoming.digest
        with open(tmp_path / "f", "r+b") as changing:
            changing.write(b"y")
        with pytest.raises(OSError, match="Changed while it was copied"):
            incoming.pour(drain)


@pytest.mark.parametrize("become", [os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_has_become_something_else_is_an_error(tmp_path, become):
    become(tmp_path / "f")
    with pytest.raises(OSError, match=r"No longer a regular file|Too many levels"):
        Incoming(str(tmp_path / "f"), dir_fd=None)
