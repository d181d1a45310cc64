"""Which files of the repository a program sources, as far as its text tells.

The target of a ``.`` is matched against the names in the tree: what is expanded in it (``$(dirname "$0")``, ``$DIR``)
may be anything, a variable of a ``for`` or of an assignment is what it is given there. One file too many does no harm:
it is only taken into account. What is really sourced is known when it happens; see :mod:`nodeagent.evaluate.sourcing`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.syntax import Block, Command, Node, Script, Word, children
from nodeagent.evaluate.usage import Dots

_MOST_FILES = 100
_SIZE_LIMIT = 256 * 1024  # bytes of one sourced file
_EXPANSION = re.compile(rb"\$\((?:[^()]|\([^()]*\))*\)|`[^`]*`|\$\{[^{}]*\}|\$\w+|\$[@*#?$!-]")
_ONE_EXPANSION = re.compile(rb'"[^"\\]*"|"\$\((?:(?!\)").)*\)"|\$\([^()]*\)', re.S)
_VARIABLE = re.compile(rb"\$\{?(\w+)\}?")
_WORD = rb"(?:\"[^\"]*\"|'[^']*'|\$\([^()]*\)|[^\s;&|()\"'])+"
_FOR = re.compile(rb"\bfor[ \t]+(\w+)[ \t]+in[ \t]+((?:" + _WORD + rb"[ \t]*)+)")
_ASSIGNMENT = re.compile(rb"(?:^|[\s;&|({])(\w+)=(" + _WORD + rb")")
# Programs that may be asked twice for a file's name.
_PURE = frozenset(
    {b"basename", b"cd", b"dirname", b"echo", b"hostname", b"printf", b"pwd", b"readlink", b"realpath", b"uname"}
)
_SEGMENTS = re.compile(rb"\$\(|&&|\|\||[|;\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """``scripts`` are the files by name; ``dots`` are those that a ``.`` may mean, by its own file and its place."""

    scripts: Mapping[str, Script] = field(default_factory=dict)
    dots: Dots = field(default_factory=dict)


def sourced(
    entry: Script, file: str, names: Callable[[], Iterable[str]], read: Callable[[str], bytes | None]
) -> Sourced:
    """Follow a program's ``.`` statements.

    Args:
        entry: the program.
        file: its name.
        names: lists the tree's files, relative to its top; asked only if there is a ``.``.
        read: gives a file of the tree.
    """
    scripts: dict[str, Script] = {}
    dots: dict[tuple[str, int], tuple[str, ...]] = {}
    listed: list[str] | None = None
    pending = [(file, entry)]
    while pending:
        name, script = pending.pop()
        for command in dots_in(script.block):
            if listed is None:
                listed = sorted(set(names()) - {file})
            found = _meant(command, script, listed)
            for target in found:
                if target not in scripts and len(scripts) < _MOST_FILES:
                    text = read(target)
                    if text is not None and len(text) <= _SIZE_LIMIT and b"\0" not in text:
                        scripts[target] = parse(text, bash=entry.bash)
                        pending.append((target, scripts[target]))
            dots[name, command.start] = tuple(target for target in found if target in scripts)
    return Sourced(scripts=scripts, dots=dots)


def dots_in(block: Block) -> Iterator[Command]:
    stack: list[Block | Node] = [block]
    while stack:
        current = stack.pop()
        if isinstance(current, Block):
            stack.extend(node for node, _ in current.items)
        elif isinstance(current, Command):
            if current.name in {".", "source"} and len(current.words) > 1:
                yield current
        else:
            stack.extend(children(current))


def may_be_asked_twice(word: bytes) -> bool:
    """Does expanding it change nothing?"""
    if re.search(rb"`|[<>]|\$\(\(|:=", word):
        return False
    segments = _SEGMENTS.split(word)[1:] if b"$(" in word else []
    first = (re.match(rb"\s*([\w-]*)", segment) for segment in segments)
    return all(found is not None and found[1] in _PURE for found in first)


def is_kept_by_variable(word: Word) -> bool:
    """Does a variable that it is assigned to expand to what it does itself?"""
    return b"<(" not in word.text and b">(" not in word.text and _ONE_EXPANSION.fullmatch(word.text) is not None


def _meant(command: Command, script: Script, names: list[str]) -> tuple[str, ...]:
    texts = [command.words[1].text]
    if not _pattern(texts[0]) and (variables := list(_VARIABLE.finditer(texts[0]))):
        last, values = variables[-1], _values(script.text)
        before, after = texts[0][: last.start()], texts[0][last.end() :]
        texts = [before + value + after for value in values.get(last[1], ())]
    found = [name for text in texts for name in _named(text, names)]
    return tuple(dict.fromkeys(found))


def _named(word: bytes, names: list[str]) -> list[str]:
    """The files that a word may name: from the top of the tree, else from anywhere in it."""
    path = _pattern(word)
    while path:
        for expression in (path, "(?:.*/)?" + path):
            found = [name for name in names if re.fullmatch(expression, name)]
            if found:
                return found
        _, _, path = path.partition("/")  # /configs/lib.sh, ../configs/lib.sh
    return []


def _values(text: bytes) -> dict[bytes, list[bytes]]:
    """What each variable is given."""
    found: dict[bytes, list[bytes]] = {}
    for match in _FOR.finditer(text):
        found.setdefault(match[1], []).extend(re.findall(_WORD, match[2]))
    for match in _ASSIGNMENT.finditer(text):
        found.setdefault(match[1], []).append(match[2])
    return found


def _pattern(word: bytes) -> str:
    """A regular expression for the path; empty when that may be anything."""
    parts = []
    for part in _EXPANSION.split(word):
        bare = re.sub(rb"[\"'\\\\]", b"", part).decode(errors="surrogateescape")
        globbed = re.sub(r"\[[^\]]*\]", "?", bare)
        parts.append(re.escape(globbed).replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\.", "[.]"))
    path = re.sub(r"(?:^|/)(?:\[\.\]/)+", "/", ".*".join(parts)).removeprefix(".*").lstrip("/")
    last = path.rpartition("/")[2].replace("[^", "")
    return path if re.search(r"\w", last) else ""
