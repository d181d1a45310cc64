"""What makes a program one that cannot be instrumented at all."""

import re
from collections.abc import Iterator, Mapping, Sequence

from nodeagent.evaluate.syntax import Block, Command, Node, Opaque, Script, children, functions_in, without_comments

# Programs that look at what instrumenting would change (the last argument, a pipeline's statuses, a function's text)
# or that replace what the verbs are made of. They are run whole.
_LOOKS = re.compile(rb"PIPESTATUS|\$_(?!\w)|\$\{_\}|BASH_COMMAND")
_ANYWHERE = re.compile(rb"__na_")
_SHOWS_FUNCTIONS = re.compile(rb"(?<![\w-])(?:declare|typeset|export|local)\s+-\w*f")
_VERB_WORDS = frozenset({"printf", "pwd", "umask", "read", "command", "return", "shift", "case", "while", "["})

_ALIASES = frozenset({b"alias", b"unalias"})
_PREFIXES = frozenset({b"command", b"builtin", b"time"})  # what stands behind them is the command
_READERS = frozenset({b"eval", b"trap", b".", b"source"})  # their words may hold commands
_IN_TEXT = re.compile(rb"(?<![\w.$/{-])(?:(?:un)?alias(?![\w.=/+-])|lastpipe\b|trap\b[^\n]*\bDEBUG\b)")
_AS_VALUE = re.compile(rb"=[\"']?\\?(?:un)?alias(?![\w.-])")
_EXPANDED = re.compile(rb"[$`]")
_QUOTING = re.compile(rb"[\\'\"]")


def untouchable(script: Script) -> str | None:
    """Why neither a program nor what it sources can be instrumented, or None."""
    text = without_comments(script)
    if found := _ANYWHERE.search(text) or _SHOWS_FUNCTIONS.search(_without_plain_heredocs(script, text)):
        return f"it uses {found.group().decode(errors='replace').split()[0]}"
    if word := _command_used(script, text):
        return f"it uses {word.decode(errors='replace')}"
    taken = sorted({f.name for f in functions_in(script.block)} & _VERB_WORDS)
    return f"it redefines {taken[0]}" if taken else None


def looks_at_verbs(script: Script) -> str | None:
    """Why this one text cannot be instrumented, or None."""
    found = _LOOKS.search(without_comments(script))
    return f"it uses {found.group().decode()}" if found else None


def not_understood(script: Script) -> str | None:
    return None if script.error_line is None else f"line {script.error_line} is not understood"


def any_untouchable(entry: str, files: Mapping[str, Script]) -> str | None:
    for name, script in files.items():
        if reason := untouchable(script):
            return reason if name == entry else f"{name}: {reason}"
    return None


def _command_used(script: Script, text: bytes) -> bytes | None:
    """``alias``, ``unalias``, ``shopt ... lastpipe`` or ``trap ... DEBUG``, if one of them may be run.

    As a file's name, a variable's, or a text that is written somewhere, the words do nothing.
    """
    indirect: list[bytes] = []  # words that may become a command
    for node in _nodes(script.block):
        if isinstance(node, Opaque) and not node.known and (found := _IN_TEXT.search(script.whole(node))):
            return found[0].split()[0]
        if not isinstance(node, Command) or not node.words:
            continue
        words = [_QUOTING.sub(b"", word.text) for word in node.words]
        if used := _used(words, text):
            return used
        if words[0] in _READERS and (found := _IN_TEXT.search(script.whole(node))):
            return found[0].split()[0]
        if _is_computed(words):
            indirect += [found.split()[0] for found in _IN_TEXT.findall(text)]
        if _EXPANDED.search(words[0]):
            indirect += [b"alias"] * bool(_AS_VALUE.search(text))
            indirect += [word for other in _nodes(script.block) for word in _arguments(other) if word in _ALIASES]
    return indirect[0] if indirect else None


def _used(words: Sequence[bytes], text: bytes) -> bytes | None:
    while len(words) > 1 and (words[0] in _PREFIXES or words[0].startswith(b"-")):
        words = words[1:]
    name, arguments = words[0], words[1:]
    known = {b"shopt": b"lastpipe", b"trap": b"DEBUG"}.get(name)
    if known is None:
        return name if name in _ALIASES else None
    computed = any(map(_EXPANDED.search, arguments[1:])) and known in text
    return name if known in arguments or computed else None


def _is_computed(words: Sequence[bytes]) -> bool:
    """Is it a text that the shell reads and that is not in the program as it will be?"""
    if words[0] == b"eval":
        return any(map(_EXPANDED.search, words))
    return words[0] == b"trap" and any(map(_EXPANDED.match, words))


def _arguments(node: Node) -> Iterator[bytes]:
    if isinstance(node, Command):
        yield from (_QUOTING.sub(b"", word.text) for word in node.words[1:])


def _nodes(block: Block) -> Iterator[Node]:
    stack: list[Block | Node] = [block]
    while stack:
        current = stack.pop()
        if isinstance(current, Block):
            stack.extend(reversed([node for node, _ in current.items]))
            continue
        yield current
        stack.extend(children(current))


def _without_plain_heredocs(script: Script, text: bytes) -> bytes:
    """Nothing runs in a here-doc that holds no substitution."""
    bare = bytearray(text)
    for heredoc in script.heredocs:
        if not _EXPANDED.search(text, heredoc.begin, heredoc.end):
            bare[heredoc.begin : heredoc.end] = b" " * (heredoc.end - heredoc.begin)
    return bytes(bare)
