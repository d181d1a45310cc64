import errno
import os
import stat
import subprocess  # noqa: TID251 - another process holds the lock
import sys
from pathlib import Path

import pytest

from nodeagent.apply import user_lock
from nodeagent.apply.merge import Merges, is_plain, merge, take_out
from nodeagent.apply.paths import open_directory
from nodeagent.model.evaluation import Change, Phase

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be given by root only")


@pytest.fixture
def merging(tmp_path, destinations):
    """Merge a file into ``shadow``, evaluation by evaluation."""
    (tmp_path / "shadow").write_text("root:*:1\nbob:*:1\n")

    def run(text, statement="1", session=None):
        (tmp_path / "entries").write_text(text)
        done = merge(
            "entries",
            "shadow",
            cwd=str(tmp_path),
            statement=statement,
            destinations=destinations,
            session=session or Merges(statements={"1", "2"}),
        )
        destinations.next_evaluation()
        return done

    return run


@root_only
def test_mode_and_owner_stay(tmp_path, merging):
    os.chown(tmp_path / "shadow", 3, 42)
    (tmp_path / "shadow").chmod(0o640)
    assert merging("root:hash:2\n").change is Change.UPDATED
    there = (tmp_path / "shadow").stat()
    assert (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == (0o640, 3, 42)
    assert (tmp_path / "shadow").read_text() == "root:hash:2\nbob:*:1\n"
    assert sorted(os.listdir(tmp_path)) == [".pwd.lock", "entries", "shadow"]


def test_what_is_merged_already_is_not_written(tmp_path, merging):
    merging("new:*:1\n")
    before = (tmp_path / "shadow").stat()
    assert merging("new:*:1\n").change is Change.UNCHANGED
    with (tmp_path / "shadow").open("a") as file:
        file.write("somebody:*:1\n")
    assert merging("new:*:1\n").change is Change.UNCHANGED
    assert (tmp_path / "shadow").stat().st_ino == before.st_ino


def test_drift_of_an_entry_is_repaired_and_others_stay(tmp_path, merging):
    merging("root:hash:2\nnew:*:1\n")
    (tmp_path / "shadow").write_text("bob:mine:1\nroot:other:2\n")
    assert merging("root:hash:2\nnew:*:1\n").change is Change.UPDATED
    assert (tmp_path / "shadow").read_text() == "bob:mine:1\nroot:hash:2\nnew:*:1\n"


def test_the_ledger_is_told_of_a_merge_and_of_what_is_to_be_kept(tmp_path, merging, destinations):
    (tmp_path / "entries").write_text("root:hash:2\n")
    merge(
        "entries",
        "shadow",
        cwd=str(tmp_path),
        statement="1",
        destinations=destinations,
        session=Merges(statements={"1"}),
    )
    path = str(tmp_path / "shadow")
    assert destinations.log == [(path, Phase.MERGE, Change.UPDATED)]
    assert path in destinations.kept
    assert destinations.only_appended(path)
    assert "hash" not in repr(destinations.entries(path))


@pytest.mark.parametrize(
    ("missing", "reason"), [("shadow", "no such file to merge into"), ("entries", "cannot read entries: No such file")]
)
def test_a_missing_file_is_a_failure_and_changes_nothing(tmp_path, destinations, missing, reason):
    for name in {"shadow", "entries"} - {missing}:
        (tmp_path / name).write_text("root:1\n")
    done = merge(
        "entries",
        "shadow",
        cwd=str(tmp_path),
        statement="1",
        destinations=destinations,
        session=Merges(statements=set()),
    )
    assert done.change is Change.FAILED
    assert reason in done.reason
    assert not (tmp_path / missing).exists()


def test_a_directory_in_its_place_is_a_failure(tmp_path, merging):
    (tmp_path / "shadow").unlink()
    (tmp_path / "shadow").mkdir()
    assert "Is a directory" in merging("a:1\n").reason


def test_entries_are_taken_out_and_what_stands_otherwise_is_left(tmp_path, merging, destinations):
    merging("root:hash:2\nnew:*:1\nmine:*:1\n")
    path = str(tmp_path / "shadow")
    (tmp_path / "shadow").write_text((tmp_path / "shadow").read_text().replace("mine:*", "mine:x"))
    left = take_out(path, destinations.entries(path))
    assert [entry.text for entry in left] == [b"mine:*:1"]
    assert (tmp_path / "shadow").read_text() == "root:*:1\nbob:*:1\nmine:x:1\n"


def test_nothing_can_be_taken_out_of_a_file_that_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        take_out(str(tmp_path / "none"), [])


@pytest.mark.parametrize(
    ("source", "destination"),
    [("-", "to"), ("a=b", "to"), ("from", "-to"), ("from", "from"), ("", "to"), ("from", "link"), ("nul", "to")],
)
def test_what_awk_or_cp_take_for_something_else_is_left_to_them(tmp_path, source, destination):
    (tmp_path / "to").write_text("a:1\n")
    (tmp_path / "nul").write_bytes(b"a:\0\n")
    (tmp_path / "link").symlink_to("to")
    assert not is_plain(source, destination, cwd=str(tmp_path))
    assert is_plain("./a=b", "to", cwd=str(tmp_path))


HOLD = (
    "import fcntl,sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


def test_a_lock_that_another_program_holds_is_waited_for_and_respected(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path / ".pwd.lock"]
    with (
        open_directory(str(tmp_path), cwd="/") as directory,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
    ):
        holder.stdout.readline()
        with (
            pytest.raises(OSError, match="Another program is changing the users") as raised,
            user_lock.locked(directory, patience=0),
        ):
            pass
        assert raised.value.errno == errno.EAGAIN
        holder.communicate()
        with user_lock.locked(directory, patience=0):
            assert (tmp_path / ".pwd.lock").exists()


def test_the_lock_is_the_one_that_glibc_takes(tmp_path):
    with open_directory(str(tmp_path), cwd="/") as directory, user_lock.locked(directory):
        locks = Path("/proc/locks").read_text()
        inode = (tmp_path / ".pwd.lock").stat().st_ino
    assert any("POSIX" in line and "WRITE" in line and f":{inode} " in line for line in locks.splitlines())
