"""Whatever a repository holds, lint answers."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.errors import InvalidConfiguration, PostScriptMissing
from nodeagent.lint import output
from nodeagent.lint.check import lint
from nodeagent.lint.reading import read
from nodeagent.lint.syntax import asking
from nodeagent.lint.tree import Entry, Kind, Tree

SH = b"#!/bin/sh\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    (top / "postscripts").mkdir(parents=True)
    (top / "files").mkdir()
    (top / "post.sh").write_bytes(SH)
    (top / "post.sh").chmod(0o755)
    return top


def said(top: Path) -> str:
    """All formats of what lint finds; each must be possible."""
    found = lint(read(top), asking(top))
    assert all(line.isprintable() for line in output.text(found).splitlines())
    output.github(found).encode()
    output.as_json(found).encode()
    return output.text(found)


def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"none: cannot be read: No such file or directory: name"):
        read(tmp_path / "none")


def test_a_directory_without_post_sh_is_named(tmp_path: Path) -> None:
    with pytest.raises(PostScriptMissing, match=r"has no post\.sh"):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling", "outside", "loop"])
def test_a_post_sh_that_is_no_file_of_the_repository_is_refused(repository: Path, tmp_path: Path, kind: str) -> None:
    entry = repository / "post.sh"
    entry.unlink()
    (tmp_path / "outside").write_bytes(SH)
    match kind:
        case "directory":
            entry.mkdir()
        case "fifo":
            os.mkfifo(entry)
        case _:
            entry.symlink_to({"dangling": "none", "outside": "../outside", "loop": "post.sh"}[kind])
    with pytest.raises(PostScriptMissing, match="is no file of the repository"):
        read(repository)


def test_a_post_sh_that_is_a_link_within_the_repository_is_read(repository: Path) -> None:
    (repository / "post.sh").rename(repository / "files/entry")
    (repository / "files/entry").write_bytes(SH + b"ln -s a /etc/a\n")
    (repository / "post.sh").symlink_to("./files/../files/entry")
    assert "[ln-sfn]" in said(repository)


def test_links_out_of_the_tree_are_not_followed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("PASSWORD=hunter22\n")
    (repository / "postscripts/out").symlink_to(tmp_path / "secret")
    (repository / "postscripts/up").symlink_to("../../secret")
    (repository / "files/loop").symlink_to("../files")
    assert said(repository) == ""


def test_devices_sockets_and_fifos_are_left_alone(repository: Path) -> None:
    os.mkfifo(repository / "postscripts/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(repository)  # a socket's path has to be short
        listener.bind("files/socket")
        os.chdir(here)
    assert said(repository) == ""


def test_binary_programs_are_left_alone(repository: Path) -> None:
    (repository / "postscripts/tool").write_bytes(b"\x7fELF\x02" + bytes(range(256)) * 64)
    (repository / "postscripts/data").write_bytes(bytes(range(256)) * 64)
    assert said(repository) == ""


def test_a_huge_script_is_named_and_not_read(repository: Path) -> None:
    with (repository / "postscripts/huge").open("wb") as file:
        file.truncate(2**40)
    assert "postscripts/huge:1:1: error: it cannot be read, or is longer than 1 MiB" in said(repository)


def test_a_huge_file_that_is_no_script_is_no_matter(repository: Path) -> None:
    with (repository / "files/image").open("wb") as file:
        file.truncate(2**40)
    assert said(repository) == ""


def test_names_that_are_no_utf_8_are_shown_escaped(repository: Path) -> None:
    name = os.fsencode(repository) + b"/postscripts/a\xff\nb\x1b[31m"
    with open(name, "wb") as file:
        file.write(SH + b"ln -s a /etc/a\n")
    assert "postscripts/a\\xff\\nb\\x1b[31m:2:1: warning:" in said(repository)


def test_deep_directories_are_read_as_far_as_a_path_can_be(repository: Path) -> None:
    here = os.open(repository / "files", os.O_RDONLY)
    depth = 2100  # "d/" each: beyond the kernel's 4096 bytes of a path
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        here = _moved(here, "d")
    said(repository)
    for _ in range(depth):  # pytest's own cleaning cannot go that deep
        here = _moved(here, "..")
        os.rmdir("d", dir_fd=here)
    os.close(here)


def _moved(here: int, to: str) -> int:
    there = os.open(to, os.O_RDONLY, dir_fd=here)
    os.close(here)
    return there


@pytest.mark.parametrize(
    "text",
    [
        b"( " * 3000 + b"a" + b" )" * 3000,
        b"if a; then " * 1000 + b"b" + b"; fi" * 1000,
        b"a && " * 20_000 + b"b",
        b"a | " * 5000 + b"b",
        b'x="' + b"$(" * 2000 + b")" * 2000 + b'"',
        b"f() { f; }; f\n" * 500,
        b"f() { g; }\ng() { f; }\nf\n",
        b". ./post.sh\n",
        b"cat <<A <<B\nA\nB\n",
        b"cat <<A\n",
        b"#" * 100_000,
        b"a\0b\n" * 100,
        b"\xff\xfe$(\xff)\n",
        b"A=$A\nB=$B$B$B\n" * 200,
        b"rm -rf $\nrm -rf ${\nln -s\nmount\nsed -i\n",
        b"X=$X\nrm -rf $X/y\na | while read x; do exit 1; done\nrsync -a x y\n" * 3000,
        b"case $x in\n*) ;;\nesac\nwhile :; do :; done\n",
        b"if true; then :; fi >>/etc/x\n",
        b"# nodeagent: ignore=\n# nodeagent: =\n# nodeagent: on=\n",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_odd_programs_are_answered(repository: Path, text: bytes) -> None:
    (repository / "post.sh").write_bytes(SH + text)
    (repository / "postscripts/job").write_bytes(SH + text)
    said(repository)


_WORDS = b"""
ln -s a b|>>|/etc/x|;| && | || |(|)|{ |}|"|'|$(|`|rm -rf |$X|while |do |done|if |then |fi|cd |exit 1|cat <<E|E|COPY() {
rsync -a "$1" "$2"|# nodeagent: |ignore=|on=|case |esac| in |sed -i '|$a |mount |systemctl restart |chmod -R |.|*
"""
_PIECES = st.sampled_from([b"\n", b"|", *_WORDS.replace(b"\n", b"|").split(b"|")])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=30))
def test_any_text_is_answered_within_its_own_lines(pieces: list[bytes]) -> None:
    text = SH + b"".join(pieces)
    entries = {
        "post.sh": Entry(kind=Kind.FILE, executable=True, content=text),
        "postscripts": Entry(kind=Kind.DIRECTORY),
        "postscripts/job": Entry(kind=Kind.FILE, executable=True, content=text),
    }
    for finding in lint(Tree(entries=entries), lambda _file, _shell: ()):
        assert 1 <= finding.line <= text.count(b"\n") + 1
        assert finding.column >= 1
        assert finding.message.isprintable()
        assert finding.fix.isprintable()
