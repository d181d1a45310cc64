"""Which files a statement writes to, as far as its words tell.

A step that is done is skipped, and what stays shell always runs. Where both write to one file, as in
``if ! cp a /etc/b; then echo failed; fi; chmod 600 /etc/b``, the step has to run again behind the other, or the file is
left otherwise than the last time. Paths are compared by their text, without quotes and braces.
"""

import re
from collections.abc import Iterable, Iterator, Set

from nodeagent.evaluate.redirects import output_files, overwrites
from nodeagent.evaluate.syntax import Block, Command, Node, Script, children

_LAST = frozenset({"cp", "install", "ln", "mv", "patch", "rsync"})  # write to their last operand
_RESETS = frozenset({"cp", "install", "mv", "rm", "rsync", "tee", "truncate"})
_EDITORS = frozenset({"perl", "sed"})  # ... to those behind the program
_ALL = frozenset({"mkdir", "rmdir", "tee", "touch", "truncate"})  # ... to each
_BELOW = frozenset({"chgrp", "chmod", "chown", "rm"})  # ... and to what is below
_DRESSERS = frozenset({"chgrp", "chmod", "chown"})
_TEMPORARY = re.compile(rb"(?<!\w)(\w+)=[\"']?(?:\$\(|`)\s*mktemp\b")

_TO_APPEND = re.compile(rb"-\w*a|--a")
_IN_PLACE = re.compile(rb"-\w*i|--in-place")
_POSITIONAL = re.compile(rb"\$[\d@*]")  # another file in each call


def plain(text: bytes) -> bytes:
    """A path's text without what does not matter."""
    return re.sub(rb"\$\{(\w+)\}", rb"$\1", text.translate(None, b"\"'"))


def temporary(script: Script) -> frozenset[bytes]:
    """What mktemp makes anew each time, by the variables that hold its name."""
    return frozenset(found for name in _TEMPORARY.findall(script.text) for found in (b"$" + name, b"$" + name + b"/"))


def written(node: Node) -> frozenset[bytes]:
    """The paths that the commands in a statement write to; ``PATH/`` stands for all that is below it."""
    return frozenset(path for command in _commands(node) for path in _by_command(command))


def reset(node: Node) -> frozenset[bytes]:
    """Those of them that lose all that they held."""
    found: set[bytes] = set()
    for command in _commands(node):
        name = command.words[0].literal if command.words else None
        if name in _RESETS and not (name == "tee" and any(_TO_APPEND.match(w.text) for w in command.words)):
            found |= set(_by_command(command))
        overwritten = overwrites(command.redirects)
        if overwritten is not None:
            found.add(plain(overwritten.text))
    return frozenset(found)


def only_edits(node: Node) -> bool:
    """Does a statement nothing but edit files in place, or change their modes and owners?"""
    commands = list(_commands(node))
    return bool(commands) and all(_edits(command) for command in commands)


def share(some: Iterable[bytes], others: Set[bytes]) -> bool:
    """Is one path in both?"""
    return any(a == b or _is_below(a, b) or _is_below(b, a) for a in some for b in others)


def _is_below(path: bytes, top: bytes) -> bool:
    return top.endswith(b"/") and path.startswith(top)


def _edits(command: Command) -> bool:
    words = command.words
    if len(words) > 2 and command.name not in _EDITORS | _DRESSERS:
        words = words[1:]  # RUN chmod 600 /etc/b
    name = words[0].literal if words else None
    return name in _DRESSERS or (name in _EDITORS and any(_IN_PLACE.match(word.text) for word in words))


def _by_command(command: Command) -> Iterator[bytes]:
    yield from (plain(word.text) for word in output_files(command.redirects))
    words = command.words
    if len(words) > 2 and command.name not in _LAST | _EDITORS | _ALL | _BELOW:
        words = words[1:]  # RUN chmod 600 /etc/b
    name = words[0].literal if words else None
    in_place = any(_IN_PLACE.match(word.text) for word in words)
    operands = [plain(word.text) for word in words[1:] if not word.text.startswith(b"-")]
    for path in [] if name in _EDITORS and not in_place else _outputs(name, operands):
        if not _POSITIONAL.match(path):
            yield path.rstrip(b"/")
            if name in _BELOW and path[:1] in {b"/", b"$"}:
                yield path.rstrip(b"/") + b"/"


def _outputs(name: str | None, operands: list[bytes]) -> list[bytes]:
    if name in _EDITORS | _BELOW - {"rm"}:  # the first one is the program, the mode, the owner
        return operands[1:] or operands
    if name in _LAST:
        return operands[-1:]
    return operands if name in _ALL | _BELOW else []


def _commands(node: Node) -> Iterator[Command]:
    stack: list[Block | Node] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, Command):
            yield current
        elif isinstance(current, Block):
            stack.extend(item for item, _ in current.items)
        else:
            stack.extend(children(current))
