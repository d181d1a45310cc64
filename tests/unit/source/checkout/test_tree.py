import pytest

from nodeagent.source.checkout import tree
from nodeagent.source.checkout.manifest import Entry, Item


def items(**files):
    return {name: Item(entry=Entry.FILE, oid=oid, size=1) for name, oid in files.items()}


BASE = {"post.sh": "1", "files/a": "2"}


@pytest.mark.parametrize("path", ["README.md", "docs/x.md", "LICENSE", ".gitignore", ".gitlab-ci.yml", ".github/w.yml"])
def test_documentation_is_no_new_tree(path):
    assert tree.of_items(items(**BASE)) == tree.of_items(items(**BASE, **{path: "3"}))


@pytest.mark.parametrize("path", ["files/b", "postscripts/x", "docs/x.txt", "github/x"])
def test_everything_else_is(path):
    assert tree.of_items(items(**BASE)) != tree.of_items(items(**BASE, **{path: "3"}))


def test_configured_patterns_count_too():
    more = items(**BASE, **{"ci/x": "3", "docs/a.txt": "4"})
    assert tree.of_items(items(**BASE)) == tree.of_items(more, ("ci/", "docs/*.txt"))


def test_a_mode_or_a_name_is_a_new_tree():
    executable = {"post.sh": Item(entry=Entry.EXECUTABLE, oid="1", size=1)}
    assert tree.of_items(items(**{"post.sh": "1"})) != tree.of_items(executable)
    assert tree.of_items(items(a="1")) != tree.of_items(items(b="1"))


def test_a_directory_is_known_by_its_content(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("a")
    (tmp_path / "files/link").symlink_to("a")
    before = tree.of_directory(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/index").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert tree.of_directory(tmp_path) == before
    (tmp_path / "files/a").write_text("b")
    changed = tree.of_directory(tmp_path)
    assert changed != before
    (tmp_path / "files/a").chmod(0o755)
    assert tree.of_directory(tmp_path) != changed


def test_a_directory_that_cannot_be_read_is_no_smaller_tree(tmp_path):
    with pytest.raises(FileNotFoundError):
        tree.of_directory(tmp_path / "gone")
