import os
import subprocess  # noqa: TID251 - the immutable directory is made by chattr(1)

import pytest

from nodeagent.apply import leftovers
from nodeagent.apply.atomic import temporary_name


def test_every_temporary_in_a_directory_is_removed_and_nothing_else(tmp_path):
    (tmp_path / temporary_name("file")).write_text("half")
    (tmp_path / temporary_name("x" * 255)).write_text("half")
    (tmp_path / temporary_name("directory")).mkdir()
    (tmp_path / temporary_name("link")).symlink_to("nowhere")
    others = {"file", ".file.nodeagent-00000000", ".nodeagent-1234abcd", temporary_name("x")[1:], "x" * 255}
    for name in others:
        (tmp_path / name).write_text("somebody's")
    assert leftovers.remove([str(tmp_path)]) == [str(tmp_path)]
    assert set(os.listdir(tmp_path)) == others


def test_what_cannot_be_reached_is_passed_over_and_what_is_gone_is_clear(tmp_path):
    (tmp_path / temporary_name("file")).write_text("half")
    (tmp_path / "link").symlink_to("link")
    (tmp_path / "f").touch()
    gone, no_directory, lost = (str(tmp_path / name) for name in ("missing/x", "f", "link"))
    assert leftovers.remove([gone, no_directory, lost, str(tmp_path)]) == [gone, no_directory, str(tmp_path)]
    assert sorted(os.listdir(tmp_path)) == ["f", "link"]


def test_a_directory_that_lets_nothing_go_is_not_clear(tmp_path):
    (tmp_path / temporary_name("file")).write_text("half")
    subprocess.run(["chattr", "+i", tmp_path], check=True)
    try:
        assert leftovers.remove([str(tmp_path)]) == []
    finally:
        subprocess.run(["chattr", "-i", tmp_path], check=True)
    assert leftovers.remove([str(tmp_path)]) == [str(tmp_path)]


@pytest.mark.parametrize("name", [".", "below"])
def test_a_link_in_a_directory_of_others_is_not_followed(tmp_path, name):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    (ours / "below").mkdir(parents=True)
    theirs.mkdir()
    theirs.chmod(0o777)
    (ours / name / temporary_name("file")).write_text("somebody's")
    (theirs / "way").symlink_to(ours)
    assert leftovers.remove([str(theirs / "way" / name)]) == []
    assert os.listdir(ours / name).count(temporary_name("file")) == 1
