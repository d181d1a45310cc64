"""Which text stands at a file's path, and when."""

import os
import subprocess  # noqa: TID251 - the immutable directory is made by chattr(1)

import pytest

from nodeagent.errors import AnnotationInvalid, NodeUnusable
from nodeagent.evaluate.copy_function import CopyFunction
from nodeagent.evaluate.sourcing import Note, Sourcing, with_notice
from nodeagent.evaluate.stand import Stand

PUT = CopyFunction(flags=("-a",), makes_parent=False, name="put", file="lib/x.sh")


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree/lib").mkdir(parents=True)
    (tmp_path / "tree/post.sh").write_text("program")
    (tmp_path / "tree/lib/x.sh").write_text("original")
    return tmp_path / "tree"


@pytest.fixture
def sourcing(tree, tmp_path):
    texts = {"lib/x.sh": (b"original", b"instrumented")}
    with Sourcing(directory=tree, entry="post.sh", text=b"verbs", sourced=texts, note=Note(tmp_path)) as found:
        assert (tree / "post.sh").read_text() == "verbs"
        assert found.request(["hello"], at(tree))
        yield found


def at(directory):
    return Stand(cwd=str(directory), umask=0o022, resolved="")


@pytest.mark.parametrize(
    ("file", "path", "cwd"), [("lib/x.sh", "", "."), ("./x.sh", "/usr/bin", "lib"), ("x.sh", "/usr/bin:lib", ".")]
)
def test_a_file_holds_the_other_text_until_it_has_been_opened(file, path, cwd, tree, sourcing):
    assert (tree / "post.sh").read_text() == "program"
    assert sourcing.request(["dot", file, path], at(tree / cwd))
    assert (tree / "lib/x.sh").read_text() == "instrumented"
    assert not sourcing.holds(PUT)
    assert sourcing.request(["in"], at(tree))
    assert (tree / "lib/x.sh").read_text() == "original"
    assert sourcing.holds(PUT)
    assert os.listdir(tree / "lib") == ["x.sh"]


def test_any_other_request_brings_the_file_s_own_text_back(tree, sourcing):
    sourcing.request(["dot", "lib/x.sh", ""], at(tree))
    assert not sourcing.request(["go", "1"], at(tree))
    assert (tree / "lib/x.sh").read_text() == "original"
    assert not sourcing.holds(PUT)


def test_a_file_that_has_changed_is_left_alone_and_its_functions_are_doubted(tree, sourcing):
    sourcing.request(["dot", "lib/x.sh", ""], at(tree))
    sourcing.request(["in"], at(tree))
    (tree / "lib/x.sh").write_text("put() { :; }")
    sourcing.request(["dot", "lib/x.sh", ""], at(tree))
    assert (tree / "lib/x.sh").read_text() == "put() { :; }"
    assert not sourcing.holds(PUT)


def test_a_file_with_annotations_that_is_left_to_the_shell_is_refused_before_it_is_opened(tree, sourcing):
    (tree / "lib/x.sh").write_text("x=1 # nodeagent: ignore=crlf\ny z # nodeagent: idle\n")
    with pytest.raises(AnnotationInvalid, match=r"^lib/x\.sh:2: .* has changed since the evaluation began"):
        sourcing.request(["dot", "lib/x.sh", ""], at(tree))


def test_a_file_that_is_only_looked_at_is_read_as_it_is_and_its_functions_are_doubted(tree, sourcing):
    (tree / "other.sh").write_text("put() { :; }")
    sourcing.request(["dot", "lib/x.sh", ""], at(tree))
    sourcing.request(["in"], at(tree))
    assert sourcing.request(["see", "lib/x.sh", ""], at(tree))
    assert (tree / "lib/x.sh").read_text() == "original"
    assert sourcing.holds(PUT)
    assert sourcing.request(["see", "other.sh", ""], at(tree))
    assert not sourcing.holds(PUT)
    (tree / "other.sh").write_text("y z # nodeagent: idle\n")
    with pytest.raises(AnnotationInvalid, match=r"^other\.sh:1: "):
        sourcing.request(["see", "other.sh", ""], at(tree))


def test_a_link_to_a_file_of_the_repository_is_that_file(tree, sourcing):
    (tree / "link.sh").symlink_to("lib/x.sh")
    sourcing.request(["dot", "./link.sh", ""], at(tree))
    assert (tree / "link.sh").read_text() == "instrumented"


def test_a_file_that_is_not_there_is_the_shell_s_to_tell(tree, sourcing):
    assert sourcing.request(["dot", "lib/none.sh", "/usr/bin"], at(tree))


def test_what_a_killed_agent_has_left_is_brought_back(tree, tmp_path):
    note = Note(tmp_path)
    note.write([tree / "lib/x.sh", tree / "gone/y.sh"])
    os.link(tree / "lib/x.sh", tree / "lib/.x.sh.nodeagent-original")
    (tree / "other").write_text("instrumented")
    (tree / "other").rename(tree / "lib/x.sh")
    note.restore()
    note.restore()
    assert (tree / "lib/x.sh").read_text() == "original"
    assert os.listdir(tree / "lib") == ["x.sh"]


def test_the_first_line_says_that_the_file_is_open_and_stays_the_first():
    assert with_notice(b"#!/bin/sh\nx\n") == b"{ __na_in && :; } 2>/dev/null; #!/bin/sh\nx\n"


def test_a_text_that_cannot_be_brought_back_is_brought_back_by_the_next_run(tree, tmp_path):
    texts = {"lib/x.sh": (b"original", b"instrumented")}
    sourcing = Sourcing(directory=tree, entry="post.sh", text=b"verbs", sourced=texts, note=Note(tmp_path))

    def run():
        with sourcing:
            sourcing.request(["hello"], at(tree))
            sourcing.request(["dot", "lib/x.sh", ""], at(tree))
            subprocess.run(["chattr", "+i", tree / "lib"], check=True)
            sourcing.request(["in"], at(tree))

    try:
        with pytest.raises(PermissionError):
            run()
    finally:
        subprocess.run(["chattr", "-i", tree / "lib"], check=True)
    Note(tmp_path).restore()
    assert (tree / "lib/x.sh").read_text() == "original"
    assert os.listdir(tree / "lib") == ["x.sh"]
    assert os.listdir(tmp_path) == ["tree"]


def test_a_note_that_cannot_be_written_names_itself(tmp_path):
    (tmp_path / "stand-ins").symlink_to("/dev/full")
    with pytest.raises(NodeUnusable, match=r"/stand-ins: No space left on device: make room"):
        Note(tmp_path).write([tmp_path / "x.sh"])
