"""Where the texts of here-docs end."""

import pytest

from nodeagent.evaluate.heredocs import announced, read
from nodeagent.evaluate.quoting import NotUnderstoodError, Quoting


def end_of(operator, word, text, *, nested=False):
    """What stands behind the here-doc."""
    whole = f"cat {operator}{word}\n".encode() + text
    what = announced(whole, 4, word.encode())
    begin = whole.index(b"\n") + 1
    found = read(whole, begin, what, Quoting(whole, lambda at: whole.index(b")", at) + 1), nested=nested)
    assert (found.start, found.begin) == (4, begin)
    return whole[found.end :]


@pytest.mark.parametrize(
    ("operator", "word", "text"),
    [
        ("<<", "E", b"a\n E\nE \n\tE\nE\nrest"),
        ("<<", "'E F'", b"$(\nE\nE F\nrest"),
        ("<<", '"E"', b"a\\\nE\nrest"),
        ("<<", "\\E", b"`\nE\nrest"),
        ("<<", "''", b"a\n\nrest"),
        ("<<-", "E", b"\ta\n\t\tE\nrest"),
        ("<<", "E", b"a\\\nb\nE\nrest"),
        ("<<", "E", b"a\\\\\nE\nrest"),
        ("<<", "E", b"$(a\nb) ${c:-\n}\nE\nrest"),
    ],
)
def test_a_here_doc_ends_at_the_line_that_is_its_delimiter(operator, word, text):
    assert end_of(operator, word, text) == b"rest"


def test_a_here_doc_may_end_with_the_program_but_not_with_a_substitution():
    assert end_of("<<", "E", b"a\n") == b""
    with pytest.raises(NotUnderstoodError):
        end_of("<<", "E", b"a\n", nested=True)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("E", b"a\\\nE\nE\n"),
        ("E", b"\\\nE\nE\n"),
        ("EF", b"E\\\nF\nEF\n"),
        ("E", b"$(a\nE\n)\nE\n"),
        ("$x", b"a\n$x\n"),
        ('"a\\b"', b"a\n"),
    ],
)
def test_a_here_doc_that_shells_end_at_different_lines_is_not_understood(word, text):
    with pytest.raises(NotUnderstoodError):
        end_of("<<", word, text)
