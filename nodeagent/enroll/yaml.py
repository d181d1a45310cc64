"""Values as YAML: block style, in the part of YAML 1.1 that every reader takes alike."""

import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | Mapping[str, "Value"] | Sequence["Value"]

# No number, date, boolean or null of any version of YAML looks so.
_PLAIN = re.compile(r"/[\w./-]*|[A-Za-z][\w./-]*(?: [\w./-]+)*", re.ASCII)
_SHORT = {'"': '"', "\\": "\\", "\n": "n", "\t": "t"}
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


def dump(value: Mapping[str, Value]) -> str:
    """The document of a mapping; a text of several lines stands as such (``|``) where YAML can hold it so."""
    return "".join(f"{line}\n" for line in _mapping(value))


def _mapping(mapping: Mapping[str, Value]) -> Iterator[str]:
    for key, value in mapping.items():
        head, below = _value(value)
        if isinstance(value, str) or not value:
            yield f"{_scalar(key)}: {head}"
            yield from below
        else:
            yield f"{_scalar(key)}:"
            yield from _indented([head, *below])


def _value(value: Value) -> tuple[str, list[str]]:
    """The first line of a value, and the ones below it, as far to the left as they may stand."""
    if isinstance(value, str):
        return ("|", _indented(value[:-1].split("\n"))) if _fits_a_block(value) else (_scalar(value), [])
    if not value:
        return ("{}" if isinstance(value, Mapping) else "[]"), []
    if isinstance(value, Mapping):
        lines = list(_mapping(value))
    else:
        lines = []
        for item in value:
            head, below = _value(item)
            lines += [f"- {head}", *_indented(below)] if not isinstance(item, str) else [f"- {head}", *below]
    return lines[0], lines[1:]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]


def _fits_a_block(text: str) -> bool:
    """Text of whole lines that begins without a space and does not end in empty lines."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and lines[-1] == ""
        and lines[-2] != ""
        and lines[0][:1] not in {"", " ", "\t"}
        and all(line.replace("\t", " ").isprintable() and (line == "" or line.strip()) for line in lines)
    )


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _SHORT:
        return "\\" + _SHORT[character]
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"
