import os
import threading

import pytest

from nodeagent.apply import rewrite
from nodeagent.apply.paths import locate
from nodeagent.model.destinations import Content


@pytest.fixture
def top(tmp_path):
    return tmp_path.resolve()


def test_only_the_file_that_was_looked_at_is_read_and_written(top):
    """Somebody who may write to the directory puts a second name of another file there in between."""
    (top / "f").write_bytes(b"looked at")
    (top / "victim").write_bytes(b"root's")
    with locate("f", cwd=str(top), follow=True) as place:
        there = rewrite.look_at(place)
        os.unlink(top / "f")
        os.link(top / "victim", top / "f")
        final = Content(kind=0o100000, digest="", mode=0o666, uid=os.geteuid(), gid=os.getegid())
        attempts = [
            lambda: rewrite.read(place, there),
            lambda: rewrite.append(place, there, b"x"),
            lambda: rewrite.set_attributes(place, there, final),
        ]
        for attempt in attempts:
            with pytest.raises(OSError, match="Replaced by another"):
                attempt()
    assert (top / "victim").read_bytes() == b"root's"


def test_who_has_a_file_open_that_is_replaced_reads_the_old_one_to_its_end(top):
    (top / "f").write_bytes(b"old and long")
    with open(top / "f", "rb") as reader, locate("f", cwd=str(top), follow=True) as place:
        final = Content(kind=0o100000, digest="", mode=0o644, uid=os.geteuid(), gid=os.getegid())
        rewrite.replace(place, rewrite.look_at(place), b"new", final)
        assert (reader.read(), (top / "f").read_bytes()) == (b"old and long", b"new")


def test_appends_of_several_writers_do_not_overwrite_one_another(top):
    (top / "f").write_bytes(b"")

    def add(letter: bytes) -> None:
        for _ in range(200):
            with locate("f", cwd=str(top), follow=True) as place:
                rewrite.append(place, rewrite.look_at(place), letter * 30 + b"\n")

    writers = [threading.Thread(target=add, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = (top / "f").read_bytes().splitlines()
    assert len(lines) == 600
    assert {len(set(line)) for line in lines} == {1}
