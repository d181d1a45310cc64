"""The original is always had back."""

import os

import pytest

from nodeagent.evaluate.stand_in import in_place_of, restore_original, with_prelude


def test_a_crash_while_the_instrumented_text_stands_there_is_healed(tmp_path):
    script = tmp_path / "post.sh"
    script.write_text("original")
    os.link(script, tmp_path / ".post.sh.nodeagent-original")
    other = tmp_path / "other"
    other.write_text("instrumented")
    other.rename(script)
    restore_original(script)
    assert script.read_text() == "original"
    assert [p.name for p in tmp_path.iterdir()] == ["post.sh"]


def test_where_the_text_cannot_stand_nothing_of_it_is_left(tmp_path):
    os.mkfifo(tmp_path / "post.sh")
    (tmp_path / ".post.sh.nodeagent-original").mkdir()  # neither can the original be linked there nor this be renamed
    (tmp_path / ".post.sh.nodeagent-original/x").touch()
    with pytest.raises(OSError, match=r"post\.sh"), in_place_of(tmp_path / "post.sh", b"instrumented"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".post.sh.nodeagent-original", "post.sh"]


def test_the_verbs_are_sourced_in_the_first_line(tmp_path):
    assert with_prelude(b"#!/bin/sh\nx\n", tmp_path / "v") == b". '%s/v'\nx\n" % os.fsencode(tmp_path)
    assert with_prelude(b"x\ny", tmp_path / "v") == b". '%s/v'; x\ny" % os.fsencode(tmp_path)
