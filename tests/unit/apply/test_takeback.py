import os
import stat

import pytest

from nodeagent.apply import takeback
from nodeagent.model.destinations import Block, Content


def content(kind=stat.S_IFREG, mode=0o640, digest="", uid=3, gid=4):
    return Content(kind=kind, digest=digest, mode=mode, uid=uid, gid=gid)


def look(path):
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_a_file_comes_back_with_its_content_mode_and_owner(tmp_path):
    (tmp_path / "kept").write_bytes(b"old\0\n")
    for name, make in (("file", lambda p: p.write_text("new")), ("link", lambda p: p.symlink_to("x")), ("none", None)):
        path = tmp_path / name
        if make:
            make(path)
        takeback.restore(str(path), content(), tmp_path / "kept")
        assert path.read_bytes() == b"old\0\n"
        assert not path.is_symlink()
        assert look(path) == (0o640, 3, 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "kept", "link", "none"]


def test_a_link_and_a_directory_come_back_in_place_of_a_file(tmp_path):
    for name in ("link", "directory"):
        (tmp_path / name).write_text("new")
    takeback.restore(str(tmp_path / "link"), content(stat.S_IFLNK, digest="/else"), None)
    takeback.restore(str(tmp_path / "directory"), content(stat.S_IFDIR, mode=0o2750), None)
    assert os.readlink(tmp_path / "link") == "/else"
    assert look(tmp_path / "directory") == (0o2750, 3, 4)


def test_a_file_does_not_come_back_over_a_directory_that_is_in_use(tmp_path):
    (tmp_path / "kept").write_text("old")
    (tmp_path / "x/y").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        takeback.restore(str(tmp_path / "x"), content(), tmp_path / "kept")
    assert (tmp_path / "x/y").is_dir()


def test_what_cannot_be_put_back_leaves_what_stands_there(tmp_path):
    (tmp_path / "x").write_text("new")
    with pytest.raises(FileNotFoundError):
        takeback.restore(str(tmp_path / "x"), content(), tmp_path / "lost")
    assert (tmp_path / "x").read_text() == "new"


def test_only_an_empty_directory_is_removed(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    assert not takeback.remove(str(tmp_path / "a"))
    assert takeback.remove(str(tmp_path / "a/b"))
    assert takeback.remove(str(tmp_path / "a"))
    assert takeback.remove(str(tmp_path / "a"))


def test_removing_a_link_leaves_what_it_leads_to(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    assert takeback.remove(str(tmp_path / "link"))
    assert (tmp_path / "file").read_text() == "x"


def block(text, *, adopted=False, statement="k", continues=False):
    return Block(statement=statement, text=text, adopted=adopted, continues=continues)


@pytest.mark.parametrize(
    ("before", "blocks", "mine", "outcome"),
    [
        (b"a\nx\nb\n", [block(b"x\n")], {0}, (b"a\nb\n", 0)),
        (b"x\nx\n", [block(b"x\n", adopted=True), block(b"x\n")], {1}, (b"x\n", 0)),
        (b"a\nx\ny\n", [block(b"x\n"), block(b"y\n")], {0, 1}, (b"a\n", 0)),
        (b"a\nx\ny\n", [block(b"x\n"), block(b"y\n")], {0}, (b"a\ny\n", 0)),
        (b"a\nchanged\n", [block(b"x\n")], {0}, (b"a\nchanged\n", 1)),
        (b"abcx\n", [block(b"abc", adopted=True, statement=""), block(b"x\n", continues=True)], {1}, (b"abc", 0)),
    ],
    ids=["among others", "beside an equal one", "two", "one of two", "edited by hand", "continues a line"],
)
def test_appended_text_is_cut_out_and_other_text_stays(tmp_path, before, blocks, mine, outcome):
    after, edited = outcome
    path = tmp_path / "f"
    path.write_bytes(before)
    path.chmod(0o600)
    assert len(takeback.take_out(str(path), blocks, mine, may_remove=True)) == edited
    assert path.read_bytes() == after
    assert look(path) == (0o600, os.geteuid(), os.getegid())


@pytest.mark.parametrize("may_remove", [True, False])
def test_a_file_of_which_nothing_is_left_goes_if_it_may(tmp_path, may_remove):
    path = tmp_path / "f"
    path.write_bytes(b"x\n")
    takeback.take_out(str(path), [block(b"x\n")], {0}, may_remove=may_remove)
    assert path.exists() is not may_remove


def test_text_is_not_cut_out_of_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OSError, match="regular"):
        takeback.take_out(str(tmp_path / "f"), [block(b"x\n")], {0}, may_remove=True)
    with pytest.raises(FileNotFoundError):
        takeback.take_out(str(tmp_path / "none"), [block(b"x\n")], {0}, may_remove=True)
