import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.source.foreign import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pl\u00e4in", "pl\u00e4in"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        (b"a\xffb", r"a\xffb"),
        ("a\udcffb", r"a\udcffb"),
        ("\u202eevil", r"\u202eevil"),
    ],
)
def test_what_cannot_be_shown_is_escaped(text, shown):
    assert one_line(text) == shown


@given(st.text() | st.binary() | st.text(st.characters(categories=["Cs", "Cc"])))
def test_any_text_becomes_printable_and_can_be_written(text):
    assert one_line(text).isprintable()
    one_line(text).encode()
