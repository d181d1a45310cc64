import os
import stat
from pathlib import Path, PurePosixPath

import pytest

from nodeagent.enroll.placing import MARK, File, place
from nodeagent.errors import InvalidConfiguration


def file(path: str, content: bytes = b"new", *, marked: bool = False, mode: int = 0o640) -> File:
    return File(path=PurePosixPath(path), content=content, mode=mode, marked=marked)


def tree(top: Path) -> dict[str, bytes | str]:
    return {
        str(p.relative_to(top)): os.readlink(p) if p.is_symlink() else p.read_bytes()
        for p in top.rglob("*")
        if p.is_symlink() or p.is_file()
    }


@pytest.mark.parametrize("umask", [0o077, 0])
def test_a_file_and_its_directories_have_their_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        place(tmp_path, file("etc/nodeagent/key.enc", mode=0o600))
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    assert modes == {"etc": 0o755, "nodeagent": 0o755, "key.enc": 0o600}


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    place(tmp_path, file("etc/a", b"old"))
    assert place(tmp_path, file("etc/a")) == tmp_path / "etc/a"
    assert tree(tmp_path) == {"etc/a": b"new"}


@pytest.mark.parametrize("link", ["etc", "etc/nodeagent"])
@pytest.mark.parametrize("target", ["/", "elsewhere", "../elsewhere", "loop"])
def test_a_link_on_the_way_is_not_followed(tmp_path: Path, link: str, target: str) -> None:
    top = tmp_path / "image"
    (top / link).parent.mkdir(parents=True)
    (top / "elsewhere").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (top / link).symlink_to(target)
    before = tree(tmp_path)
    with pytest.raises(InvalidConfiguration, match=f"{link}: a link, or no directory"):
        place(top, file("etc/nodeagent/a"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_what_is_no_file_is_left(tmp_path: Path, kind: str) -> None:
    there = tmp_path / "a"
    {"link": lambda: there.symlink_to("b"), "directory": there.mkdir, "fifo": lambda: os.mkfifo(there)}[kind]()
    with pytest.raises(InvalidConfiguration, match="no regular file: move it away"):
        place(tmp_path, file("a"))
    assert os.listdir(tmp_path) == ["a"]


def test_only_a_file_of_ours_is_replaced_when_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("somebody else's")
    with pytest.raises(InvalidConfiguration, match="is not nodeagent's"):
        place(tmp_path, file("a", marked=True))
    (tmp_path / "a").write_text(f"# {MARK} x`")
    place(tmp_path, file("a", marked=True))
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_directory_that_is_missing_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="missing: no such directory"):
        place(tmp_path / "missing", file("a"))
    (tmp_path / "etc").touch()
    with pytest.raises(InvalidConfiguration, match="etc: a link, or no directory"):
        place(tmp_path, file("etc/a"))


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be written"):
        place(tmp_path, file("a" * 255))  # there is no room for the temporary's longer name
    assert os.listdir(tmp_path) == []
