import os

import pytest

from nodeagent.ledger import watch
from nodeagent.ledger.destinations import ABSENT, lstat


@pytest.fixture
def watched(tmp_path):
    for name in ("a", "b\n", os.fsdecode(b"\xff")):
        (tmp_path / name).write_text(name[:1].encode(errors="replace").decode())
    (tmp_path / "link").symlink_to("nowhere")
    paths = list(tmp_path.iterdir())
    watch.write(tmp_path, "boot", [(os.fsencode(p), lstat(str(p))) for p in paths])
    return tmp_path


def test_a_node_that_nobody_touched_is_quiet(watched):
    assert watch.look(watched, "boot") is not None


@pytest.mark.parametrize(
    "touch",
    [
        lambda top: (top / "a").write_text("b"),
        lambda top: (top / "a").chmod(0o600),
        lambda top: (top / "a").unlink(),
        lambda top: os.utime(top / "b\n"),
        lambda top: ((top / "link").unlink(), (top / "link").symlink_to("elsewhere")),
    ],
)
def test_the_slightest_difference_is_not_quiet(watched, touch):
    touch(watched)
    assert watch.look(watched, "boot") is None


def test_what_was_left_absent_is_quiet_until_something_is_there(tmp_path):
    (tmp_path / "f").write_text("")
    watch.write(tmp_path, "boot", [(os.fsencode(tmp_path / name), ABSENT) for name in ("gone", "f/below")])
    assert watch.look(tmp_path, "boot") is not None
    (tmp_path / "gone").touch()
    assert watch.look(tmp_path, "boot") is None


def test_a_list_of_another_boot_does_not_count(watched):
    assert watch.look(watched, "toob") is None


def test_without_a_list_the_apply_worker_has_to_look(watched):
    watch.remove(watched)
    watch.remove(watched)
    assert watch.look(watched, "boot") is None


def test_the_list_is_for_root_alone(watched):
    assert (watched / "watch").stat().st_mode & 0o777 == 0o600


def test_an_empty_list_of_this_boot_is_quiet(tmp_path):
    watch.write(tmp_path, "boot", [])
    assert watch.look(tmp_path, "boot") is not None


def test_a_quiet_node_gives_the_note_back_that_was_left_with_its_list(tmp_path):
    (tmp_path / "f").write_text("")
    path = str(tmp_path / "f")
    watch.write(tmp_path, "boot", [(os.fsencode(path), lstat(path))], note=b"any\0thing\n")
    assert watch.look(tmp_path, "boot") == b"any\0thing\n"
    (tmp_path / "f").write_text("else")
    assert watch.look(tmp_path, "boot") is None
