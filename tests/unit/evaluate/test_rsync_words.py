import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.rsync_words import split


def parts(text):
    ((command, _),) = parse(text.encode()).block.items
    found = split(command)
    return found and (list(found[0]), [word.text.decode() for word in found[1]])


@pytest.mark.parametrize(
    ("text", "flags", "operands"),
    [
        ("rsync -a a b", ["-a"], ["a", "b"]),
        ("rsync -a --exclude='*.swp' a b", ["-a", "--exclude=*.swp"], ["a", "b"]),
        ("rsync '-a' --exclude \"x y\" a b", ["-a", "--exclude", "x y"], ["a", "b"]),
        ("rsync --chmod D755,F644 --chown root:root a b", ["--chmod", "D755,F644", "--chown", "root:root"], ["a", "b"]),
        ("rsync -a -- a b", ["-a", "--"], ["a", "b"]),
        ('rsync -a "$1" "$2"', ["-a"], ['"$1"', '"$2"']),
        ('rsync "-a" "--exclude="\'a b\' "$@"', ["-a", "--exclude=a b"], ['"$@"']),
    ],
)
def test_options_end_where_the_operands_begin(text, flags, operands):
    assert parts(text) == (flags, operands)


@pytest.mark.parametrize("text", ["rsync -a a b --delete", "rsync -a --exclude", "cp -a a b", "X=1 rsync -a a b"])
def test_another_shape_is_not_read(text):
    assert parts(text) is None


@pytest.mark.parametrize(
    "word", ["--exclude=*.swp", '--exclude="$X"', "--exclude={a,b}", "--exclude=a\\ b", "--exclude=é"]
)
def test_with_an_option_that_the_shell_may_change_nothing_is_read(word):
    assert parts(f"rsync -a {word} a b") is None
