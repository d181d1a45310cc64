import errno
import os
import resource
import stat
import struct
import threading

import pytest

from nodeagent.apply.atomic import (
    AtomicFile,
    is_temporary,
    place_directory,
    place_link,
    place_node,
    temporary_name,
    write_all,
)

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices can be given by root only")


@pytest.fixture
def directory(tmp_path):
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def place(directory, name, data, mode=0o644):
    with AtomicFile(directory, name) as file:
        file.write(data)
        file.commit(mode=mode, uid=os.geteuid(), gid=os.getegid())


@root_only
def test_a_file_gets_content_mode_owner_and_time(tmp_path, directory):
    with AtomicFile(directory, "f") as file:
        file.write(b"text")
        file.commit(mode=0o4750, uid=12, gid=34, mtime_ns=1_234_567_890)
    there = os.stat(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"text"
    assert (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == (0o4750, 12, 34)
    assert there.st_mtime_ns == 1_234_567_890
    assert os.listdir(tmp_path) == ["f"]


def test_until_the_commit_nobody_sees_anything_and_the_temporary_is_private(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    with AtomicFile(directory, "f") as file:
        file.write(b"new")
        assert (tmp_path / "f").read_bytes() == b"old"
        assert stat.S_IMODE(os.fstat(file.fd).st_mode) == 0o600
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_the_data_are_on_disk_before_the_file_has_its_name(tmp_path, directory, monkeypatch):
    synced = []
    fsync = os.fsync

    def watched(fd):
        fsync(fd)
        synced.append((os.fstat(fd).st_ino, (tmp_path / "f").exists()))

    monkeypatch.setattr(os, "fsync", watched)
    place(directory, "f", b"text")
    assert synced == [((tmp_path / "f").stat().st_ino, False)]


def test_an_error_leaves_what_was_there(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), AtomicFile(directory, "f") as file:
        file.write(b"half" + os.readlink("/nonexistent").encode())
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_full_disk_leaves_what_was_there(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            place(directory, "f", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_what_a_killed_run_left_is_removed_when_the_same_is_placed_next(tmp_path, directory):
    child = os.fork()
    if child == 0:
        file = AtomicFile(directory, "f")
        file.write(b"half")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.listdir(tmp_path) == [temporary_name("f")]
    place(directory, "f", b"whole")
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"whole"


@pytest.mark.parametrize("leave", [os.mkdir, lambda path: os.symlink("/etc/passwd", path), os.mkfifo])
def test_whatever_stands_in_the_temporary_s_place_is_removed_and_never_followed(tmp_path, directory, leave):
    for kind in (
        lambda: place(directory, "f", b"x"),
        lambda: place_link(directory, "f", "x", uid=os.geteuid(), gid=os.getegid()),
    ):
        leave(tmp_path / temporary_name("f"))
        kind()
        assert os.listdir(tmp_path) == ["f"]


def test_what_cannot_be_removed_from_the_temporary_s_place_is_an_error(tmp_path, directory):
    (tmp_path / temporary_name("f") / "x").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        place(directory, "f", b"x")


def test_a_name_of_any_length_and_any_byte_has_a_temporary(tmp_path, directory):
    for name in ("x" * 255, "x" * 235, "é" * 127, "\udcff\udcfe", "new\nline", "-n"):
        assert len(os.fsencode(temporary_name(name))) <= 255
        assert is_temporary(temporary_name(name))
        assert not is_temporary(name)
        place(directory, name, b"x")
        assert name in os.listdir(tmp_path)
    assert temporary_name("x" * 255) != temporary_name("x" * 254 + "y")
    assert temporary_name("fstab").startswith(".fstab.nodeagent-")


def test_a_reader_sees_the_old_or_the_new_never_a_part(tmp_path, directory):
    contents = [b"a" * 100_000, b"b" * 200_000]
    place(directory, "f", contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((tmp_path / "f").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for n in range(100):
            place(directory, "f", contents[n % 2])
    finally:
        done.set()
        reader.join()
    assert seen <= set(contents)


def test_a_link_replaces_what_is_there_at_once(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    place_link(directory, "f", "to/\udcff", uid=os.geteuid(), gid=os.getegid(), mtime_ns=10**9)
    assert os.readlink(tmp_path / "f") == "to/\udcff"
    assert os.lstat(tmp_path / "f").st_mtime == 1
    assert len(os.listdir(tmp_path)) == 1


def test_a_link_does_not_replace_a_directory(tmp_path, directory):
    (tmp_path / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        place_link(directory, "d", "x", uid=os.geteuid(), gid=os.getegid())
    assert os.listdir(tmp_path) == ["d"]


@root_only
def test_a_directory_has_its_mode_and_owner_whatever_the_umask(tmp_path, directory):
    before = os.umask(0o077)
    try:
        place_directory(directory, "d", mode=0o2775, uid=12, gid=34)
    finally:
        os.umask(before)
    there = os.stat(tmp_path / "d")
    assert (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == (0o2775, 12, 34)


@root_only
def test_a_directory_inherits_the_set_group_id_bit_when_asked_to(tmp_path, directory):
    os.chmod(tmp_path, 0o2755)
    place_directory(directory, "keeps", mode=0o755, uid=0, gid=0, inherit=True)
    place_directory(directory, "exact", mode=0o755, uid=0, gid=0)
    assert stat.S_IMODE(os.stat(tmp_path / "keeps").st_mode) == 0o2755
    assert stat.S_IMODE(os.stat(tmp_path / "exact").st_mode) == 0o755


def test_a_directory_does_not_replace_a_file(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(NotADirectoryError):
        place_directory(directory, "f", mode=0o755, uid=os.geteuid(), gid=os.getegid())
    assert os.listdir(tmp_path) == ["f"]


def test_a_directory_replaces_a_file_or_a_link_when_asked_to(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "l").symlink_to("/etc")
    for name in ("f", "l"):
        place_directory(directory, name, mode=0o755, uid=os.geteuid(), gid=os.getegid(), replace=True)
        assert not os.path.islink(tmp_path / name)
        assert os.listdir(tmp_path / name) == []
    (tmp_path / "f/x").touch()
    with pytest.raises(IsADirectoryError):
        place_directory(directory, "f", mode=0o755, uid=os.geteuid(), gid=os.getegid(), replace=True)
    assert sorted(os.listdir(tmp_path)) == ["f", "l"]


@root_only
def test_a_fifo_and_a_device_get_their_mode_and_owner(tmp_path, directory):
    null = os.makedev(1, 3)
    place_node(directory, "p", mode=stat.S_IFIFO | 0o622, device=0, uid=12, gid=34, mtime_ns=None)
    place_node(directory, "n", mode=stat.S_IFCHR | 0o666, device=null, uid=0, gid=0, mtime_ns=10**9)
    pipe, device = os.stat(tmp_path / "p"), os.stat(tmp_path / "n")
    assert (pipe.st_mode, pipe.st_uid, pipe.st_gid) == (stat.S_IFIFO | 0o622, 12, 34)
    assert (device.st_mode, device.st_rdev, device.st_mtime) == (stat.S_IFCHR | 0o666, null, 1)


def test_the_acl_of_the_replaced_file_stays(tmp_path, directory):
    (tmp_path / "f").write_bytes(b"old")
    entries = [
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 1234),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path / "f", "system.posix_acl_access", acl)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("the filesystem of the temporary directory has no ACLs")
    with AtomicFile(directory, "f") as file:
        file.write(b"new")
        file.carry_labels()
        file.commit(mode=0o640, uid=os.geteuid(), gid=os.getegid())
    assert os.getxattr(tmp_path / "f", "system.posix_acl_access") == acl
    assert (tmp_path / "f").read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="labels are given by root only")
def test_the_selinux_label_of_the_replaced_file_stays(tmp_path, directory):
    label = b"system_u:object_r:munge_key_t:s0\0"
    (tmp_path / "f").write_bytes(b"old")
    try:
        os.setxattr(tmp_path / "f", "security.selinux", label)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("the filesystem of the temporary directory has no labels")
    with AtomicFile(directory, "f") as file:
        file.write(b"new")
        file.carry_labels()
        file.commit(mode=0o640, uid=os.geteuid(), gid=os.getegid())
    assert os.getxattr(tmp_path / "f", "security.selinux") == label


def test_every_byte_is_written_however_little_the_kernel_takes(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(reader, True)
    data = os.urandom(300_000)
    got = bytearray()

    def drain() -> None:
        while piece := os.read(reader, 1 << 16):
            got.extend(piece)

    thread = threading.Thread(target=drain)
    thread.start()
    write_all(writer, data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert bytes(got) == data
