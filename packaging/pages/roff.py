"""The few requests of ``man(7)`` that the pages need."""

import re
import textwrap

_ESCAPES = {"\\": "\\(rs", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha"}


def text(plain: str) -> str:
    """Escape a paragraph: what roff would take for an escape or a request is only text."""
    return _escaped(textwrap.fill(plain, 78, break_long_words=False, break_on_hyphens=False))


def _escaped(plain: str) -> str:
    for character, escape in _ESCAPES.items():
        plain = plain.replace(character, escape)
    return re.sub(r"^\.", r"\\&.", plain, flags=re.MULTILINE)


def bold(plain: str) -> str:
    return f"\\fB{text(plain)}\\fR"


def italic(plain: str) -> str:
    return f"\\fI{text(plain)}\\fR"


def title(name: str, section: int, date: str, source: str) -> str:
    return f'.TH {text(name.upper())} {section} {date} "{text(source)}" "System administration"'


def heading(name: str) -> str:
    return f".SH {text(name)}"


def subheading(name: str) -> str:
    return f".SS {text(name)}"


def item(term: str, body: str) -> str:
    """A paragraph with a hanging term; both are roff already."""
    return f".TP\n{term}\n{body}"


def verbatim(lines: str) -> str:
    return f".EX\n{_escaped(lines)}\n.EE"
