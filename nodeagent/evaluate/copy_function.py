"""The function that is a COPY: ``rsync FLAGS "$1" "$2"``, and what belongs to it without doing more.

That is the directory made before it, names given to its arguments, and the status that it returns.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.evaluate import rsync_words
from nodeagent.evaluate.leaving import gives_up
from nodeagent.evaluate.redirects import output_files
from nodeagent.evaluate.syntax import AndOr, Command, Compound, Function, Node, Opaque, Script
from nodeagent.model.evaluation import Phase

Understood = Callable[[Sequence[str]], bool]
"""Is this list of rsync's flags one whose meaning the agent knows exactly?"""

PROGRAMS = frozenset({"rsync", "mkdir", "dirname"})
_PARENT = rb'"?(?:\$\(|`)\s*dirname\s+(?:--\s+)?"?\$2"?\s*(?:\)|`)"?|(?P<cut>"\$\{2%/\*\}")'
_MAKES = re.compile(rb'mkdir\s+-p\s+(?:--\s+)?(?:(?P<destination>"\$2")|%s)' % _PARENT)
_IS_THERE = re.compile(rb'(?:\[|test)\s+-d\s+(?:(?P<destination>"\$2")|%s)(?:\s+\])?' % _PARENT)
_RETURNS = re.compile(rb'return(?:\s+(?:"?\$\?"?|(?P<status>[1-9]\d?)))?')
_BRACED = re.compile(rb"\$\{(\w+)\}")
_CUT = re.compile(rb"\$\{(\w+)%/\*\}")
_TESTS = frozenset({"test_command", "arithmetic"})
_NAMING = frozenset({"declaration_command", "variable_assignment"})
_NAME = rb"[a-z]\w*|SRC|SOURCE|FROM|DST|DEST|TARGET|TO"
_NAMES = re.compile(rb'(?P<local>local\s+)?(?:(?:%s)=(?:"\$[1-9]"|\$[1-9])(?:\s+|\Z))+' % _NAME)
_NAMED = re.compile(rb'(\w+)=("?)\$([1-9])"?')
_MAY_SEE = re.compile(rb"(?<![\w.])(?:eval|source|allexport)\b|set\s+-\w*a|(?:^|[\s;&|({])\.\s", re.M)
_FIXES = re.compile(rb"(?<![\w.])(?:readonly\b|(?:declare|typeset)\s+-\w*r)")  # so that ``local`` fails
# Test, mkdir, what is done instead of going on, rsync, return with rsync's status or with another one.
_CORE = r"(?:;(?:T\|\|)?M(?:\|\|[GSN])?(?:;|&&)|;)R"
_SHAPE = re.compile(_CORE + r"(?:\|\|[SN])?(?:;S)?")
# ... with messages and tests before it, and with whatever says how it went behind it.
_OR_ELSE = r"(?:(?:&&|\|\|)[EGSN])*"
_SPOKEN = re.compile(rf"(?:;E{_OR_ELSE})*{_CORE}{_OR_ELSE}(?:;[EASNG]{_OR_ELSE})*")
_SPEAKS = frozenset({"echo", "printf", "logger", ":", "true", "false", "test", "[", "return", "exit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFunction:
    """A function that is ``rsync FLAGS "$1" "$2"``, with or without ``mkdir -p "$(dirname "$2")"`` or ``mkdir -p "$2"``
    before it; or that merges ``$1`` into ``$2`` (:mod:`nodeagent.evaluate.merge_function`), then ``phase`` is MERGE.

    ``operands``: how many of its arguments rsync gets, from the first; None for all (``"$@"``). ``failed``: what it
    returns when rsync fails, if not rsync's own status. ``spoken``: the function says something besides, so the shell
    runs it, and the agent stands in for this part of its text. ``cuts``: the parent is ``"${2%/*}"``.
    """

    flags: tuple[str, ...]
    makes_parent: bool
    name: str
    file: str  # where it is defined
    makes_destination: bool = False
    operands: int | None = 2
    failed: int | None = None
    spoken: tuple[int, int] | None = None
    cuts: bool = False
    phase: Phase = Phase.COPY


class _Body:
    """The statements of a function, in the words of its arguments: ``"$dst"`` is ``"$2"`` behind ``dst=$2``."""

    def __init__(self, function: Function, file: str, files: Mapping[str, Script]) -> None:
        self._script = files[file]
        self._outside = self._script.text[: function.start] + b"\n" + self._script.text[function.end :]
        self._outside += b"".join(b"\n" + script.text for name, script in files.items() if name != file)
        self._names: dict[bytes, bytes] = {}

    def names(self, node: Opaque) -> bool:
        """``local src="$1"``, or ``src=$1`` that nothing else looks at: does it only give names to arguments?"""
        found = _NAMES.fullmatch(text := _BRACED.sub(rb"$\1", self._script.slice(node)))
        if found is None or (_FIXES if found["local"] else _MAY_SEE).search(self._outside):
            return False
        for name, quoted, number in _NAMED.findall(text):
            kept = found["local"] and quoted  # an unquoted one dash splits
            if not kept and (found["local"] or re.search(rb"(?<!\w)%s(?!\w)" % name, self._outside)):
                return False
            self._names[name] = number
        return True

    def text(self, text: bytes) -> bytes:
        cut = _CUT.sub(lambda found: b"${%s%%/*}" % self._names.get(found[1], found[1]), text)
        bare = _BRACED.sub(rb"$\1", cut)
        return re.sub(rb"\$([A-Za-z_]\w*)", lambda found: b"$" + self._names.get(found[1], found[1]), bare)

    def parts(self, nodes: Sequence[Node]) -> Iterator[tuple[str, Node, bytes]]:
        """The commands with their texts, and a sign for what joins each to the one before and for what it is."""
        for node in nodes:
            operands = node.operands if isinstance(node, AndOr) else (node,)
            before = operands[0].start
            for operand in operands:
                joined = self._script.text[before : operand.start].strip().decode(errors="replace") or ";"
                text = self.text(self._script.slice(operand))
                yield joined + _sign(operand, text), operand, text
                before = operand.end


def copy_function(
    function: Function, nodes: Sequence[Node], file: str, files: Mapping[str, Script], understood: Understood
) -> CopyFunction | None:
    """What a function is if it is a COPY.

    Args:
        function: its definition.
        nodes: the statements of its body.
        file: where it is defined.
        files: the program, and what it sources, by name.
        understood: tells which lists of rsync flags the agent can do itself.
    """
    body, rest = _Body(function, file, files), list(nodes)
    while rest and isinstance(first := rest[0], Opaque) and first.kind in _NAMING:
        if not body.names(first):
            return None
        del rest[0]
    parts = list(body.parts(rest))
    shape = "".join(sign for sign, _, _ in parts)
    spoken = _SHAPE.fullmatch(shape) is None
    if spoken and _SPOKEN.fullmatch(shape) is None:
        return None
    core = [(node, text) for sign, node, text in parts if sign[-1] in "TMR"]
    made = {_directory(text) for sign, _, text in parts if sign[-1] in "TM"}
    rsync = next(node for sign, node, _ in parts if sign[-1] == "R")
    assert isinstance(rsync, Command)
    split = rsync_words.split(rsync)
    if len(made) > 1 or split is None or rsync.redirects or not understood(split[0]):
        return None
    operands = [body.text(word.text) for word in split[1]]
    takes_all = operands == [b'"$@"']
    if not takes_all and (len(operands) < 2 or operands != [b'"$%d"' % n for n in range(1, len(operands) + 1)]):
        return None
    if made and len(operands) != 2:
        return None
    return CopyFunction(
        flags=split[0],
        makes_parent=made == {b""},
        makes_destination=made == {b'"$2"'},
        name=function.name,
        file=file,
        operands=None if takes_all else len(operands),
        failed=None if spoken else _failed(parts),
        spoken=(core[0][0].start, rsync.end) if spoken else None,
        cuts=any(b"%/*}" in text for _, text in core),
    )


def _directory(text: bytes) -> bytes:
    """That which is asked for or made: the destination, or empty for the one that it is in."""
    found = _MAKES.fullmatch(text) or _IS_THERE.fullmatch(text)
    return (found and found["destination"]) or b""


def _failed(parts: Sequence[tuple[str, Node, bytes]]) -> int | None:
    """The status behind ``rsync ... ||``."""
    for (sign, _, _), (following, _, text) in itertools.pairwise(parts):
        if sign.endswith("R") and following == "||N" and (returns := _RETURNS.fullmatch(text)):
            return int(returns["status"])
    return None


def _sign(node: Node, text: bytes) -> str:
    if isinstance(node, Command) and node.name == "rsync":
        return "R"
    if returns := _RETURNS.fullmatch(text):
        return "N" if returns["status"] else "S"
    if _MAKES.fullmatch(text):
        return "M"
    if _IS_THERE.fullmatch(text):
        return "T"
    if isinstance(node, Opaque) and node.kind in _NAMING:
        return "A"
    return "G" if gives_up(node, frozenset()) else "E" if _speaks(node) else "?"


def _speaks(node: Node) -> bool:
    """Does it only ask, say something or return? Whatever the shell makes of it, it does."""
    match node:
        case Command():
            return node.name in _SPEAKS and not any(output_files(node.redirects))
        case AndOr():
            return all(map(_speaks, node.operands))
        case Compound(kind="if" | "group" | "case"):
            items = [item for block in (*node.conditions, *node.bodies) for item in block.items]
            return not any(output_files(node.redirects)) and all(not job and _speaks(item) for item, job in items)
        case _:
            return isinstance(node, Opaque) and node.known and node.kind in _TESTS
