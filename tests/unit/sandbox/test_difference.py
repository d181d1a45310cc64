"""Differences, read from the layers that the kernel's own overlayfs left (root is needed for its attributes)."""

import os
import stat

import pytest

from nodeagent.model.events import Difference
from nodeagent.sandbox.difference import of_destination, of_tree
from nodeagent.sandbox.root import Layer, Root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for what overlayfs leaves")


@pytest.fixture
def lower(tmp_path):
    (tmp_path / "lower").mkdir()
    return tmp_path / "lower"


@pytest.fixture
def upper(tmp_path):
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


def root(lower, upper):
    return Root(path="", layers=[Layer(point=str(lower), upper=str(upper), lower=str(lower))], limits=())


def tree(lower, upper):
    top = str(lower)
    return [(c.path.removeprefix(top), c.difference, c.detail) for c in of_tree(root(lower, upper), [f"{top}/own"])]


def file(path, text, mode=0o644):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def whiteout(path):
    os.mknod(path, stat.S_IFCHR, 0)


def test_new_changed_removed_and_attributes_are_told_apart(lower, upper):
    for name in ("changed", "same", "mode", "removed", "type"):
        file(lower / name, "old\n")
    file(upper / "changed", "new\n", 0o600)
    file(upper / "same", "old\n")
    file(upper / "mode", "old\n", 0o755)
    file(upper / "d/new", "x")
    file(upper / "own/x", "x")
    (upper / "type").symlink_to("/etc")
    whiteout(upper / "removed")
    whiteout(upper / "never-there")
    assert tree(lower, upper) == [
        ("/changed", Difference.CHANGED, "mode 0644 to 0600"),
        ("/d", Difference.NEW, "directory, mode 0755"),
        ("/d/new", Difference.NEW, "file, mode 0644"),
        ("/mode", Difference.ATTRIBUTES, "mode 0644 to 0755"),
        ("/removed", Difference.REMOVED, "file"),
        ("/type", Difference.CHANGED, "a file became a link"),
    ]


def test_a_directory_that_was_removed_and_made_again_hides_what_was_in_it(lower, upper):
    file(lower / "d/old", "old\n")
    (upper / "d").mkdir()
    os.setxattr(upper / "d", "trusted.overlay.opaque", b"y")
    assert tree(lower, upper) == [("/d/old", Difference.REMOVED, "")]
    assert of_destination(root(lower, upper), str(lower / "d/old")).diff.endswith("-old\n")


def test_a_destination_is_shown_as_a_unified_diff(lower, upper):
    file(lower / "f", "one\ntwo\n")
    file(upper / "f", "one\nthree", 0o755)
    shown = of_destination(root(lower, upper), str(lower / "f"))
    assert (shown.detail, shown.hidden) == ("mode 0644 to 0755", "")
    assert shown.diff.splitlines()[3:] == [" one", "-two", "+three", "\\ No newline at end of file"]


def test_what_is_no_text_or_a_secret_or_large_is_not_shown(lower, upper):
    file(lower / "secret", "old\n", 0o600)
    file(upper / "secret", "new\n")  # it becomes readable: what it held stays hidden
    (upper / "binary").write_bytes(b"\0\1")
    (upper / "latin").write_bytes(b"\xe4")
    file(upper / "large", "x" * 300_000)
    os.mkfifo(upper / "fifo")
    hidden = {name: of_destination(root(lower, upper), str(lower / name)) for name in os.listdir(upper)}
    assert {name: shown.hidden for name, shown in hidden.items()} == {
        "secret": "not everybody may read it", "binary": "binary", "latin": "binary", "large": "it is too large",
        "fifo": "a fifo",
    }  # fmt: skip
    assert not any(shown.diff for shown in hidden.values())


def test_a_link_in_the_way_is_not_followed(lower, upper):
    file(lower / "d/f", "old\n")
    (upper / "d").symlink_to("/etc")
    assert of_destination(root(lower, upper), str(lower / "d/f")).hidden


def test_what_was_not_touched_has_no_difference(lower, upper):
    file(lower / "f", "old\n")
    shown = of_destination(root(lower, upper), str(lower / "f"))
    assert (shown.detail, shown.diff, shown.hidden) == ("", "", "")
