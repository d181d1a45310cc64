import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.model.evaluation import Commit
from nodeagent.source.store.objects import (
    Kind,
    MalformedError,
    Mode,
    commit_origin,
    commit_parents,
    commit_tree,
    forbidden,
    object_id,
    tree_entries,
)

ID = "0123456789abcdef0123456789abcdef01234567"
RAW = bytes.fromhex(ID)


def git(place, *arguments, data=b""):
    command = ["git", "-C", place, "-c", "user.name=A", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("git")
    git(directory, "init", "-q", "-b", "main")
    (directory / "a file").write_text("content")
    (directory / "script").write_text("#!/bin/sh\n")
    (directory / "script").chmod(0o755)
    (directory / "link").symlink_to("a file")
    (directory / "sub").mkdir()
    (directory / "sub/\xe4").write_text("")
    git(directory, "add", "--all")
    git(directory, "commit", "-q", "-m", "one")
    git(directory, "commit", "-q", "-m", "two", "--allow-empty")
    git(directory, "tag", "-a", "-m", "three", "annotated")
    return directory


@pytest.mark.parametrize("kind", list(Kind))
def test_ids_are_the_ones_that_git_computes(place, kind):
    name = {Kind.COMMIT: "HEAD", Kind.TREE: "HEAD:", Kind.BLOB: "HEAD:script", Kind.TAG: "annotated"}[kind]
    content = git(place, "cat-file", kind, name)

    assert object_id(kind, content) == git(place, "rev-parse", name).decode().strip()


def test_a_commit_names_its_tree_and_parents(place):
    content = git(place, "cat-file", "commit", "HEAD")

    assert commit_tree(content) == git(place, "rev-parse", "HEAD:").decode().strip()
    assert list(commit_parents(content)) == [git(place, "rev-parse", "HEAD^").decode().strip()]
    assert list(commit_parents(git(place, "cat-file", "commit", "HEAD^"))) == []


def test_a_tree_of_git_is_taken_apart(place):
    listing = git(place, "ls-tree", "-z", "HEAD").split(b"\0")[:-1]
    expected = [(line[:6], line[53:], line[12:52]) for line in (entry.replace(b"tree", b"blob") for entry in listing)]

    found = tree_entries(git(place, "cat-file", "tree", "HEAD:"))

    assert [(b"%06o" % entry.mode.value, entry.name, entry.oid.encode()) for entry in found] == expected
    assert {entry.mode for entry in found} == {Mode.FILE, Mode.EXECUTABLE, Mode.LINK, Mode.DIRECTORY}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"tree\n",
        b"tree abc\n",
        f"tree {ID}x\n".encode(),
        f"tree {ID.upper()}\n".encode(),
        b"parent " + ID.encode(),
    ],
)
def test_a_commit_without_a_tree_is_malformed(content):
    with pytest.raises(MalformedError):
        commit_tree(content)


def test_a_commit_with_a_parent_that_is_no_id_is_malformed():
    with pytest.raises(MalformedError):
        commit_parents(f"tree {ID}\nparent nothing\n".encode())


@pytest.mark.parametrize(
    "content",
    [
        b"100644 a\0" + RAW[:-1],
        b"100644 a" + RAW,
        b"100644a\0" + RAW,
        b"100644",
        b" a\0" + RAW,
        b"100600 a\0" + RAW,
        b"100000 a\0" + RAW,
        b"777 a\0" + RAW,
        b"0x81a4 a\0" + RAW,
        b"100644 a\0" + RAW + b"100755 a\0" + RAW,
        b"100644 a\0" + RAW + b"40000 a\0" + RAW,
        b"100644 b\0" + RAW + b"100644 a\0" + RAW,
        b"40000 a\0" + RAW + b"100644 a.b\0" + RAW,  # a directory is sorted as if its name ended with a slash
    ],
)
def test_a_tree_that_git_would_not_write_is_malformed(content):
    with pytest.raises(MalformedError):
        tree_entries(content)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: b"100644 a\0" + RAW + tail))
def test_any_bytes_are_a_tree_or_malformed(content):
    try:
        entries = tree_entries(content)
    except MalformedError:
        return
    assert sum(len(entry.name) for entry in entries) <= len(content)


def test_the_group_writable_mode_of_old_repositories_is_a_file():
    assert tree_entries(b"100664 a\0" + RAW)[0].mode is Mode.FILE


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b"a/b",
        b"/etc",
        b".git",
        b".GIT",
        b".Git",
        b".git ",
        b".git.",
        b".git . .",
        b".git::$INDEX_ALLOCATION",
        b".git:stream",
        b"git~1",
        b"GIT~1",
        b"git~1 .",
        b"a\\.git",
        b".git\\hooks",
        ".g\u200cit".encode(),
        "\ufeff.git".encode(),
        ".gi\u206at".encode(),
        b"x" * 256,
    ],
)
def test_names_that_git_refuses_are_forbidden(name):
    assert forbidden(name)


@pytest.mark.parametrize(
    "name",
    [
        b"a",
        b"...",
        b"..a",
        b".gitignore",
        b".gitattributes",
        b".github",
        b"git",
        b"git~2",
        b"var-lib-my\\x2ddata.mount",
        b"-rf",
        b" ",
        b"a\nb",
        b"\xff\xfe",
        "\u200c".encode(),
        b"x" * 255,
        b"CON",
    ],
)
def test_names_that_a_linux_file_may_have_are_allowed(name):
    assert forbidden(name) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"tree x\nauthor A B <a@b> 1700000000 +0100\ncommitter C <c> 1 +0000\n\nSay hello\n\nmore\n",
            Commit(author="A B <a@b>", authored=1_700_000_000, subject="Say hello"),
        ),
        (
            b"tree x\n\n\nauthor of a message <a@b> 1 +0000\n",
            Commit(author="", authored=0, subject="author of a message <a@b> 1 +0000"),
        ),
        (b"tree x\nauthor \xff\x1b[2J <a> 1 +0000", Commit(author="\ufffd\ufffd[2J <a>", authored=1, subject="")),
        (b"tree x\nauthor A 1 +0000\n\n" + b"long" * 100, Commit(author="", authored=0, subject="long" * 50)),
    ],
    ids=["usual", "no author", "hostile", "endless"],
)
def test_a_commit_tells_who_made_it_and_nothing_that_a_terminal_obeys(content, expected):
    assert commit_origin(content) == expected
