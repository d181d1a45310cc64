r"""xCAT's stanza files: what ``lsdef -z`` prints and ``mkdef -z`` reads.

The format, as ``mkdef`` takes it (``readFileInput`` in xCAT's ``DBobjUtils.pm``): a line that ends in ``:`` begins an
object and names it, ``NAME=VALUE`` lines below are its attributes, spaces around either do not count, nor do double
quotes around a value; ``#`` begins a comment line. A name with ``default`` in it is no object. xCAT knows no
continued lines; files that people keep by hand have them (a ``\`` at the end), so they are understood here.

A text is changed only where an entry is added or replaced: all else stays, byte for byte.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nodeagent.errors import InvalidConfiguration

_ATTRIBUTE = re.compile(r"(\s*)(.*?)\s*=\s*")
_SPACE = " \t\r\f\v"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """``value`` is what counts; it stands on the lines ``first`` to ``last`` of the text, counted from 0."""

    name: str
    value: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An object of xCAT's database."""

    name: str
    attributes: Sequence[Attribute]

    def get(self, name: str) -> str:
        """The value that counts, the last one; empty if there is none."""
        return next((a.value for a in reversed(self.attributes) if a.name == name), "")

    @property
    def is_osimage(self) -> bool:
        return self.get("objtype") == "osimage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A program (or file) with its arguments, to stand in a comma-separated attribute.

    It takes the place of what has its own name, or one of ``instead``; names are compared without directories.
    """

    attribute: str
    text: str
    instead: Collection[str] = ()

    def is_meant_by(self, item: str) -> bool:
        return _name(item) in {_name(self.text), *self.instead}


def read(text: str) -> Sequence[Definition]:
    """All objects of a stanza file, in order; one that stands there twice is one."""
    lines = text.split("\n")
    found: dict[str, list[Attribute]] = {}
    attributes: list[Attribute] | None = None
    for first, last in _logical(lines):
        line = lines[first].strip()
        if not line or line.startswith("#"):
            continue
        if line.endswith(":") and "=" not in line:
            attributes = None if "default" in line else found.setdefault(line[:-1].strip(), [])
        elif attributes is not None and (match := _ATTRIBUTE.match(lines[first])):
            parts = [lines[first][match.end() :], *lines[first + 1 : last + 1]]
            value = "".join(part.rstrip(_SPACE).removesuffix("\\").strip() for part in parts[:-1]) + parts[-1].strip()
            attributes.append(Attribute(name=match[2], value=_unquoted(value), first=first, last=last))
    return [Definition(name=name, attributes=attributes) for name, attributes in found.items()]


def with_entries(text: str, entries: Sequence[Entry], *, only: str = "") -> str:
    """Add the entries to the osimage ``only``, or to every osimage of the text; done twice it is as done once.

    Raises:
        InvalidConfiguration: the text has no such osimage.
    """
    for entry in entries:
        chosen = [d.name for d in read(text) if d.is_osimage and only in {"", d.name}]
        if not chosen:
            raise InvalidConfiguration(
                f"the stanza has no osimage{f' {only}' if only else ''} (objtype=osimage): give it what "
                "`lsdef -t osimage -l -z NAME` prints"
            )
        for name in chosen:
            lines = text.split("\n")
            _add(lines, next(d for d in read(text) if d.name == name), entry)
            text = "\n".join(lines)
    return text


def items(value: str) -> list[str]:
    """What a comma-separated attribute lists."""
    return [item.strip() for item in value.split(",") if item.strip()]


def _logical(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The first and last number of each line, continued ones taken together; a comment ends with its line."""
    first = 0
    while first < len(lines):
        last = first
        comment = lines[first].lstrip().startswith("#")
        while not comment and lines[last].rstrip(_SPACE).endswith("\\") and last + 1 < len(lines):
            last += 1
        yield first, last
        first = last + 1


def _unquoted(value: str) -> str:
    return value.removeprefix('"').lstrip().removesuffix('"').rstrip()


def _name(item: str) -> str:
    words = item.split()
    return PurePosixPath(words[0]).name if words else ""


def _add(lines: list[str], definition: Definition, entry: Entry) -> None:
    attribute = next((a for a in reversed(definition.attributes) if a.name == entry.attribute), None)
    if attribute is None:
        below = next(a for a in reversed(definition.attributes) if a.name == "objtype")
        indent = lines[below.first][: len(lines[below.first]) - len(lines[below.first].lstrip())]
        ending = "\r" if lines[below.first].endswith("\r") else ""
        lines.insert(below.last + 1, f"{indent}{entry.attribute}={entry.text}{ending}")
        return
    place = [_values(lines, attribute, number) for number in range(attribute.first, attribute.last + 1)]
    placed = False
    for number, (before, value, behind) in enumerate(place, attribute.first):
        kept = []
        for item in value.split(","):
            if not entry.is_meant_by(item):
                kept.append(item)
            elif not placed:
                kept.append(_in_place_of(item, entry.text))
                placed = True
        lines[number] = before + ",".join(kept) + behind
    if not placed:
        before, value, behind = place[-1]
        comma = "," if attribute.value and not value.rstrip().endswith(",") else ""
        lines[attribute.last] = before + value + comma + entry.text + behind


def _values(lines: Sequence[str], attribute: Attribute, number: int) -> tuple[str, str, str]:
    """A line of an attribute in three: what stands before the values, the values, what stands behind them."""
    line = lines[number]
    begin = len(line) - len(line.lstrip())
    if number == attribute.first:
        match = _ATTRIBUTE.match(line)
        assert match is not None, "it was read with this very expression"
        begin = match.end()
        if line[begin : begin + 1] == '"':
            begin += 1
    end = len(line.rstrip(_SPACE))
    if number < attribute.last:
        end -= 1  # the backslash
    elif end > begin and line[end - 1] == '"':
        end -= 1
    end = max(begin, len(line[:end].rstrip()))
    return line[:begin], line[begin:end], line[end:]


def _in_place_of(item: str, text: str) -> str:
    """The text with the space around the item that it replaces."""
    bare = item.strip()
    at = item.index(bare)
    return item[:at] + text + item[at + len(bare) :]
