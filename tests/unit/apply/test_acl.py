"""In a directory with a default ACL, what is made new is what the shell and the kernel make there."""

import os
import stat
import struct
import subprocess  # noqa: TID251 - the shell is what is compared with

import pytest

from nodeagent.apply import acl
from nodeagent.apply.append import Appends, append
from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import parse
from nodeagent.apply.write import write

NOBODY = 0xFFFFFFFF


def packed(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


WITHOUT_MASK = packed((0x01, 7, NOBODY), (0x04, 5, NOBODY), (0x20, 0, NOBODY))
WITH_A_USER = packed((0x01, 6, NOBODY), (0x02, 7, 1), (0x04, 7, NOBODY), (0x10, 4, NOBODY), (0x20, 1, NOBODY))


@pytest.fixture(params=[WITHOUT_MASK, WITH_A_USER], ids=["without a mask", "with a user"])
def directories(request, tmp_path):
    """Two equal ones: for the agent and for the shell. ``old`` stands there since before the ACL."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text("old")
        try:
            os.setxattr(tmp_path / name, "system.posix_acl_default", request.param)
        except OSError:
            pytest.skip("this filesystem has no ACLs")
    return tmp_path


def looks(path) -> tuple[int, bytes]:
    known = os.listxattr(path)
    access = os.getxattr(path, "system.posix_acl_access") if "system.posix_acl_access" in known else b""
    return stat.S_IMODE(path.stat().st_mode), access


def same(directories, name) -> bool:
    return looks(directories / "ours" / name) == looks(directories / "theirs" / name)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_write_and_append_make_what_a_redirection_makes(directories, umask, destinations):
    ours = str(directories / "ours")
    write("new", cwd=ours, text=b"x", umask=umask, destinations=destinations)
    write("old", cwd=ours, text=b"x", umask=umask, destinations=destinations)
    append("added", cwd=ours, text=b"x", statement="s", umask=umask, destinations=destinations, session=Appends())
    program = "printf x >new; printf x >old; printf x >>added"
    subprocess.run(["sh", "-c", program], cwd=directories / "theirs", umask=umask, check=True)
    assert all(same(directories, name) for name in ("new", "old", "added"))
    assert looks(directories / "ours/old")[1] == b""


def test_a_parent_is_made_as_mkdir_makes_it(directories, destinations):
    (directories / "f").touch(mode=0o666)
    status = copy(
        [str(directories / "f")],
        "a/b/f",
        cwd=str(directories / "ours"),
        umask=0o022,
        options=parse(["-rlt"]),
        make_parent=True,
        destinations=destinations,
        report=print,
    )
    program = "mkdir -p a/b"
    subprocess.run(program.split(), cwd=directories / "theirs", umask=0o022, check=True)
    assert status == 0
    assert same(directories, "a")
    assert same(directories, "a/b")


def test_without_a_default_acl_the_umask_counts(tmp_path):
    fd = os.open(tmp_path, os.O_PATH)
    try:
        assert acl.new_bits(fd, 0o027) == 0o750
    finally:
        os.close(fd)
