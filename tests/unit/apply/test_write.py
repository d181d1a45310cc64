import os
import shutil
import stat
import subprocess  # noqa: TID251 - mounts are made in a namespace of another process
import sys

import pytest

from nodeagent.apply.write import write
from nodeagent.model.evaluation import Change

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be given by root only")


@pytest.fixture
def top(tmp_path):
    return tmp_path.resolve()


@pytest.fixture
def put(top, destinations):
    def put(path, text, umask=0o022):
        return write(path, cwd=str(top), text=text, umask=umask, destinations=destinations)

    return put


def attributes(path):
    there = os.lstat(path)
    return stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid


def test_a_new_file_is_made_with_the_umask(put, top):
    result = put("f", b"text", umask=0o027)
    assert (result.path, result.change) == (f"{top}/f", Change.CREATED)
    assert ((top / "f").read_bytes(), attributes(top / "f")[0]) == (b"text", 0o640)


@root_only
def test_an_existing_file_keeps_its_mode_and_owner(put, top, destinations):
    (top / "f").write_bytes(b"old")
    os.chown(top / "f", 12, 34)
    os.chmod(top / "f", 0o660)
    assert put("f", b"new").change is Change.UPDATED
    assert ((top / "f").read_bytes(), attributes(top / "f")) == (b"new", (0o660, 12, 34))
    assert destinations.kept == {f"{top}/f": b"old"}


def test_the_same_text_again_touches_nothing(put, top, destinations):
    for _ in range(3):
        put("f", b"text")
        before = os.stat(top / "f")
        destinations.next_evaluation()
        assert put("f", b"text").change is Change.UNCHANGED
        assert os.stat(top / "f") == before
        destinations.next_evaluation()


def test_a_text_that_stood_there_already_is_unchanged(put, top, destinations):
    (top / "f").write_bytes(b"text")
    assert put("f", b"text").change is Change.UNCHANGED
    assert destinations.kept == {}


def test_what_a_later_step_made_of_it_is_left_alone(put, top, destinations):
    put("f", b"text")
    (top / "f").write_bytes(b"as sed left it")
    os.chmod(top / "f", 0o600)
    destinations.next_evaluation()
    assert put("f", b"text").change is Change.UNCHANGED
    assert (top / "f").read_bytes() == b"as sed left it"


@root_only
def test_what_was_changed_or_removed_by_hand_comes_back_as_it_was_left(put, top, destinations):
    put("f", b"text")
    os.chmod(top / "f", 0o600)
    os.chown(top / "f", 12, 34)
    destinations.next_evaluation()
    os.chmod(top / "f", 0o666)
    assert put("f", b"text").change is Change.UPDATED
    assert attributes(top / "f") == (0o600, 12, 34)
    destinations.next_evaluation()
    os.unlink(top / "f")
    assert put("f", b"text").change is Change.CREATED
    assert attributes(top / "f") == (0o600, 12, 34)


def test_a_link_is_followed_also_to_what_does_not_exist(put, top):
    (top / "d").mkdir()
    (top / "link").symlink_to("d/new")
    assert put("link", b"text").path == f"{top}/d/new"
    assert put("link", b"other").change is Change.UPDATED
    assert (top / "link").is_symlink()
    assert (top / "d/new").read_bytes() == b"other"
    assert os.listdir(top / "d") == ["new"]


@root_only
def test_somebody_else_s_link_is_not_followed(put, top):
    (top / "victim").write_bytes(b"old")
    (top / "theirs").mkdir()
    (top / "theirs/link").symlink_to(top / "victim")
    os.chown(top / "theirs", 1234, 1234)
    result = put("theirs/link", b"new")
    assert result.change is Change.FAILED
    assert "not followed" in result.reason
    assert (top / "victim").read_bytes() == b"old"


@root_only
def test_a_second_name_that_somebody_else_may_have_planted_is_not_written_to(put, top):
    (top / "victim").write_bytes(b"old")
    (top / "theirs").mkdir()
    os.link(top / "victim", top / "theirs/f")
    os.chown(top / "theirs", 1234, 1234)
    result = put("theirs/f", b"new")
    assert result.change is Change.FAILED
    assert "several names" in result.reason
    assert (top / "victim").read_bytes() == b"old"


def test_a_file_with_several_names_is_written_in_place(put, top):
    (top / "f").write_bytes(b"old and longer")
    os.link(top / "f", top / "second")
    assert put("f", b"new").change is Change.UPDATED
    assert (top / "second").read_bytes() == b"new"


def test_an_empty_text_empties_the_file(put, top):
    (top / "f").write_bytes(b"old")
    assert put("f", b"").change is Change.UPDATED
    assert (top / "f").read_bytes() == b""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/f", "cannot create no/f: No such file or directory"),
        ("d", "cannot create d: Is a directory"),
        ("d/", "cannot create d/: Is a directory"),
        ("file/f", "cannot create file/f: Not a directory"),
        ("fifo", "cannot create fifo: Not a regular file"),
    ],
)
def test_it_fails_where_a_redirection_fails_or_is_not_nodeagent_s(put, top, path, reason):
    (top / "d").mkdir()
    (top / "file").touch()
    os.mkfifo(top / "fifo")
    result = put(path, b"text")
    assert (result.change, result.reason, result.path) == (Change.FAILED, reason, f"{top}/{path}")


@root_only
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_bind_mounted_file_is_written_in_place(top):
    """As /etc/resolv.conf is in containers: a rename over it is refused."""
    (top / "behind").write_bytes(b"old")
    (top / "f").touch()
    program = (
        "import importlib.util, sys\n"
        "from nodeagent.apply.write import write\n"
        "spec = importlib.util.spec_from_file_location('apply_memory', sys.argv[1])\n"
        "memory = sys.modules['apply_memory'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(memory)\n"
        "print(write('f', cwd=sys.argv[2], text=b'new', umask=0o022, destinations=memory.Memory()).change)\n"
    )
    memory = os.path.join(os.path.dirname(__file__), "memory.py")
    shell = 'mount --bind "$1/behind" "$1/f" && exec "$2" -c "$3" "$4" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", str(top), sys.executable, program, memory],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("updated\n", "")
    assert (top / "behind").read_bytes() == b"new"
    assert sorted(os.listdir(top)) == ["behind", "f"]


@root_only
def test_a_file_with_several_names_comes_back_as_it_was_left(put, top, destinations):
    put("f", b"text")
    os.link(top / "f", top / "second")
    os.chmod(top / "f", 0o600)
    os.chown(top / "f", 12, 34)
    destinations.next_evaluation()
    (top / "f").write_bytes(b"by hand")
    os.chmod(top / "f", 0o666)
    os.chown(top / "f", 0, 0)
    assert put("f", b"text").change is Change.UPDATED
    assert ((top / "second").read_bytes(), attributes(top / "second")) == (b"text", (0o600, 12, 34))
