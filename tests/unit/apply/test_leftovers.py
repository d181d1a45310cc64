import os

from nodeagent.apply import leftovers
from nodeagent.apply.atomic import temporary_name


def test_a_temporary_beside_a_destination_is_removed_whatever_it_is(tmp_path):
    (tmp_path / temporary_name("file")).write_text("half")
    (tmp_path / temporary_name("directory")).mkdir()
    (tmp_path / temporary_name("link")).symlink_to("nowhere")
    (tmp_path / "file").write_text("whole")
    leftovers.remove([str(tmp_path / name) for name in ("file", "directory", "link", "other")])
    assert os.listdir(tmp_path) == ["file"]


def test_a_temporary_of_a_file_that_was_never_placed_is_removed_and_nothing_else(tmp_path):
    (tmp_path / temporary_name("never")).write_text("half")
    others = {".never.nodeagent-00000000", ".nodeagent-1234abcd", "never", temporary_name("x")[1:]}
    for name in others:
        (tmp_path / name).write_text("somebody's")
    leftovers.remove([str(tmp_path / "file")])
    assert set(os.listdir(tmp_path)) == others


def test_what_cannot_be_reached_is_passed_over(tmp_path):
    (tmp_path / temporary_name("file")).write_text("half")
    leftovers.remove([str(tmp_path / "missing/x"), "/proc/self/mem/x", str(tmp_path / "file")])
    assert os.listdir(tmp_path) == []


def test_a_link_in_a_directory_of_others_is_not_followed(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    theirs.chmod(0o777)
    (ours / temporary_name("file")).write_text("somebody's")
    (theirs / "way").symlink_to(ours)
    leftovers.remove([str(theirs / "way/file")])
    assert os.listdir(ours) == [temporary_name("file")]
