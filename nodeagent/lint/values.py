"""What a word of a program must be, whatever node it runs on; None where that is not known.

The repository itself is ``ROOT``, so that ``"$(dirname "$0")/files"`` is a value like any other.
"""

import posixpath
import re
from collections.abc import Mapping

ROOT = "\0"
Values = Mapping[str, str | None]

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9]")
_INNER = (
    (re.compile(r"dirname\s+(?:--\s+)?(\S.*)", re.S), posixpath.dirname),
    (re.compile(r"(?:realpath|readlink\s+-[fem]+)\s+(?:--\s+)?(\S.*)", re.S), posixpath.normpath),
    (
        re.compile(
            r"(?:CDPATH=\s*)?cd\s+(?:-P\s+)?(?:--\s+)?(\S.*?)\s*(?:\d?>&?\S+\s*)*(?:&&|;)\s*pwd(?:\s+-P)?", re.S
        ),
        posixpath.normpath,
    ),
)
_DEPTH_LIMIT = 8


def expand(word: bytes, values: Values, depth: int = 0) -> str | None:
    """The word after expansion and quote removal; globs stay as they are."""
    text = word.decode(errors="surrogateescape")
    out: list[str] = []
    at, quoted = 0, False
    while at < len(text):
        char = text[at]
        if char == "'" and not quoted:
            end = text.find("'", at + 1)
            if end < 0:
                return None
            out.append(text[at + 1 : end])
            at = end + 1
        elif char == '"':
            quoted = not quoted
            at += 1
        elif char == "\\":
            out.append(text[at + 1 : at + 2])
            at += 2
        elif char == "$":
            found = _dollar(text, at, values, depth)
            if found is None:
                return None
            out.append(found[0])
            at = found[1]
        elif char == "`" or (not quoted and (char in "()<>" or text.startswith(("{", "~"), at))):
            return None
        else:
            out.append(char)
            at += 1
    return "".join(out)


def _dollar(text: str, at: int, values: Values, depth: int) -> tuple[str, int] | None:
    """The expansion that begins at ``$``, and where it ends."""
    if text.startswith("$((", at) or depth > _DEPTH_LIMIT:
        return None
    if text.startswith("$(", at):
        end = _closing(text, at + 1)
        value = _substitution(text[at + 2 : end].strip(), values, depth) if end else None
        return (value, end + 1) if end and value is not None else None
    braced = text.startswith("${", at)
    name = _NAME.match(text, at + 1 + braced)
    if name is None:
        plain = not braced and text[at + 1 : at + 2] not in set("?*@#!$-")
        return ("$", at + 1) if plain else None
    end = name.end()
    if braced:
        rest = re.match(r"(?:\[0\])?(%/\*)?\}", text[end:])
        if rest is None:
            return None
        end += rest.end()
    value = values.get(name.group())
    if value is not None and braced and rest is not None and rest[1]:
        value = posixpath.dirname(value)
    return None if value is None else (value, end)


def _closing(text: str, at: int) -> int | None:
    depth = 0
    for place in range(at, len(text)):
        if text[place] == "(":
            depth += 1
        elif text[place] == ")":
            depth -= 1
            if depth == 0:
                return place
    return None


def _substitution(inner: str, values: Values, depth: int) -> str | None:
    for pattern, meaning in _INNER:
        match = pattern.fullmatch(inner)
        if match:
            value = expand(match[1].strip().encode(errors="surrogateescape"), values, depth + 1)
            return None if value is None else meaning(value)
    return None


def within(value: str | None, directory: str | None) -> str | None:
    """Where in the repository a value leads: a path relative to it, or None if it leads elsewhere.

    Args:
        directory: the directory that a relative value counts from, in the same notation.
    """
    if value is None or value == "":
        return None
    if not value.startswith(("/", ROOT)):
        if directory is None:
            return None
        value = f"{directory}/{value}"
    if value == "/configs" or value.startswith("/configs/"):  # the checkout's usual place
        value = ROOT + value.removeprefix("/configs")
    if not value.startswith(ROOT):
        return None
    path = posixpath.normpath(value.removeprefix(ROOT).lstrip("/") or ".")
    return None if path == ".." or path.startswith("../") else path.removeprefix(".") if path == "." else path
