"""The pattern language of --exclude; tests/integration/test_copy_rsync.py compares it with rsync's own."""

import pytest

from nodeagent.apply.filters import PatternError, Rules, rule


@pytest.mark.parametrize(
    ("pattern", "left_out", "copied"),
    [
        ("core", ["core", "a/core"], ["core.c", "a/score"]),
        ("/core", ["core"], ["a/core"]),
        ("a/core", ["a/core", "x/a/core"], ["ba/core", "core"]),
        ("/a/core", ["a/core"], ["x/a/core"]),
        ("*.swp", [".swp", "a/b.swp"], ["a.swp/b"]),
        ("a?", ["ab", "x/a?"], ["a", "abc"]),
        ("a/*", ["a/b", "x/a/b"], ["a", "a/b/c"]),
        ("a/**", ["a/b", "a/b/c", "x/a/b"], ["a"]),
        ("**/a", ["a", "x/a", "x/y/a"], ["xa"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "-1"]),
        ("[!a-c]1", ["d1"], ["a1", "x/1"]),
        ("[^]]", ["a"], ["]"]),
        ("[[:digit:]_]", ["7", "_"], ["a"]),
        ("\\*", [], ["*a"]),
        ("\\*?", ["*a"], ["ba"]),
        ("a\\b", ["a\\b"], ["ab"]),
        ("new\nline", ["new\nline"], ["new"]),
        ("h\udcff*", ["h\udcff!"], ["h"]),
    ],
)
def test_a_pattern_leaves_these_out_and_not_those(pattern, left_out, copied):
    rules = Rules((rule(pattern, include=False),))
    assert [path for path in left_out if not rules.leave_out(path, is_directory=False)] == []
    assert [path for path in copied if rules.leave_out(path, is_directory=False)] == []


def test_a_trailing_slash_means_directories():
    rules = Rules((rule("a/", include=False),))
    assert rules.leave_out("x/a", is_directory=True)
    assert not rules.leave_out("x/a", is_directory=False)


def test_three_stars_mean_a_directory_with_all_that_is_in_it():
    rules = Rules((rule("a/***", include=False),))
    assert rules.leave_out("a", is_directory=True)
    assert rules.leave_out("a/b", is_directory=False)
    assert not rules.leave_out("a", is_directory=False)


def test_the_first_rule_that_matches_decides():
    rules = Rules((rule("keep*", include=True), rule("*", include=False)))
    assert not rules.leave_out("keep.me", is_directory=False)
    assert rules.leave_out("other", is_directory=False)


@pytest.mark.parametrize("pattern", ["", "/", "- a", "+ a", "!", "[a", "[[:nonsense:]]", "a*\\", "[\\"])
def test_what_is_read_in_more_than_one_way_is_refused(pattern):
    with pytest.raises(PatternError):
        rule(pattern, include=False)
