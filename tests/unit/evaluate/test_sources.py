"""Which files a ``.`` may mean, and that too many are better than the wrong ones."""

import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.sources import is_kept_by_variable, may_be_asked_twice, sourced

NAMES = ["lib.sh", "lib/a.sh", "conf.d/10.sh", "conf.d/20.sh", "conf.d/x.conf", "files/lib.sh", "post.sh"]
PARTS = ("conf.d/10.sh", "conf.d/20.sh")


def found(text, contents=None):
    contents = contents or {}
    return sourced(parse(text.encode()), "post.sh", lambda: NAMES, lambda name: contents.get(name, b"x=1\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (". ./lib.sh", ("lib.sh",)),
        (". lib.sh", ("lib.sh",)),
        (". /configs/lib.sh", ("lib.sh",)),
        ('. "$(dirname "$0")/lib.sh"', ("lib.sh",)),
        ("source ${0%/*}/lib/a.sh", ("lib/a.sh",)),
        ('. "$DIR"/lib.sh', ("lib.sh",)),
        ("cd lib && . ./a.sh", ("lib/a.sh",)),
        ('F=$(pwd)/lib.sh\n. "$F"', ("lib.sh",)),
        ('for f in conf.d/*.sh; do . "$f"; done', PARTS),
        ('for f in 10.sh 20.sh; do [ -r "$f" ] && . "./conf.d/$f"; done', PARTS),
        (". $HERE/conf.d/${x}.sh", PARTS),
        (". /etc/os-release", ()),
        ('. "$1"', ()),
        (". ./.env", ()),
    ],
)
def test_a_file_is_found_by_what_the_text_says_of_it(text, expected):
    assert list(found(text).dots.values()) == [expected]


def test_what_sourced_files_source_is_followed_to_its_end():
    result = found(". ./lib.sh", {"lib.sh": b". lib/a.sh\n", "lib/a.sh": b". ./lib.sh\n"})
    assert set(result.scripts) == {"lib.sh", "lib/a.sh"}


def test_what_is_no_text_is_not_read():
    assert found(". ./lib.sh", {"lib.sh": b"\0"}).scripts == {}


@pytest.mark.parametrize("word", ['"$(dirname "$0")/x"', '$(cd "$(dirname "$0")" && pwd)/x', "$HOME/x", "./x"])
def test_a_name_that_only_looks_may_be_asked_for_twice(word):
    assert may_be_asked_twice(word.encode())


@pytest.mark.parametrize("word", ["$(mktemp)", "`next`", "<(generate)", "${x:=y}", "$((n += 1))", "$(pwd; next)/x"])
def test_a_name_that_may_change_something_is_asked_for_once(word):
    assert not may_be_asked_twice(word.encode())


@pytest.mark.parametrize("word", ['"$(mktemp)"', "$(mktemp)", '"$(cat "$1")"', '"${x:=y}"'])
def test_a_variable_keeps_what_a_program_names(word):
    assert is_kept_by_variable(_word(word))


@pytest.mark.parametrize("word", ["<(generate)", '"$(a)"/"$(b)"', "$(a)/*", "`next`", '"a\\b"'])
def test_what_a_variable_may_make_otherwise_is_left_alone(word):
    assert not is_kept_by_variable(_word(word))


def _word(text):
    return parse(b". " + text.encode()).block.items[0][0].words[1]
