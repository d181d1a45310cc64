"""APPEND's rule: what to do with a text that shall stand in a file. Pure; no I/O.

The blocks that nodeagent put into a destination, or found there, are one ordered multiset. Within an evaluation each
APPEND claims one block; the next call with the same text has to claim another one, so that a text that is appended
twice on purpose stands twice. A block counts only while it stands in the file: one that was edited by hand is gone.

A text without a newline at its end is continued by what is appended next, as the shell does. What a block continues
is therefore recorded before it, as a block too: nodeagent's own, or a *stub*, the beginning of somebody else's line.
"""

import dataclasses
import difflib
import enum
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from nodeagent.model import Block

_NEWLINE = b"\n"
_MEND_SLACK = 8  # lines of others that may have come between the lines of a broken block
_MEND_LIMIT = 100_000  # comparisons; a larger block is appended anew
_STUB = ""  # the statement of a stub: no step's

Span = tuple[int, int]


class Action(enum.Enum):
    """What came of one call."""

    STANDS = enum.auto()  # nodeagent's block, or one that it found before
    ADOPTED = enum.auto()  # it was there already, and nodeagent takes note
    REPLACED = enum.auto()  # it takes the place of an older text
    APPENDED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A block and whether this evaluation wants it: ``claim`` numbers the claims from 1; 0, none yet."""

    block: Block
    claim: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``pieces`` are those that stand afterwards, in the order of the file; ``content`` is the file's afterwards."""

    action: Action
    pieces: tuple[Piece, ...]
    content: bytes


def decide(
    content: bytes, pieces: Sequence[Piece], *, statement: str, text: bytes, live: Set[str] | None = None
) -> Decision:
    """Decide on one call of APPEND.

    In this order: a text of the same statement that stands is claimed; an older text of it is replaced; a text that
    stands from another statement is claimed; one of a statement that the program has no longer is replaced; one that
    was there before nodeagent is adopted; else it is appended. An empty text asks for nothing but the file.

    Args:
        content: The file as it is.
        pieces: The destination's blocks, with the claims of this evaluation so far.
        statement: The key of the calling statement.
        text: What shall stand in the file.
        live: The keys of all statements of the program, if they are known.
    """
    spans = find_blocks(content, [piece.block for piece in pieces])
    standing = [_Standing(p, *span) for p, span in zip(pieces, spans, strict=True) if span is not None]
    standing.sort(key=lambda s: s.start)
    if not text:
        return Decision(action=Action.STANDS, pieces=tuple(s.piece for s in standing), content=content)
    call = _Call(content, standing, statement, text, 1 + max((s.piece.claim for s in standing), default=0))
    return (
        call.claim(statement)
        or call.replace(lambda block: block.statement == statement)
        or call.mend(
            [p.block.text for p, span in zip(pieces, spans, strict=True) if span is None and _mendable(p, call)]
        )
        or call.claim(None)
        or (call.replace(lambda block: block.statement not in live) if live is not None else None)
        or call.adopt()
        or call.append()
    )


def claim_settled(pieces: Sequence[Piece], *, statement: str, text: bytes) -> tuple[Piece, ...]:
    """Claim the block of a call whose destination is known to be as it was left, without looking at the file."""
    claim = 1 + max((piece.claim for piece in pieces), default=0)
    free = [i for i, p in enumerate(pieces) if not p.claim and p.block.text == text and p.block.statement != _STUB]
    free.sort(key=lambda i: pieces[i].block.statement != statement)
    if not free:
        return tuple(pieces)
    return tuple(dataclasses.replace(p, claim=claim) if i == free[0] else p for i, p in enumerate(pieces))


def find_blocks(content: bytes, blocks: Sequence[Block]) -> list[Span | None]:
    """Find where each block stands, no two in one place; None for a block that is gone.

    They are looked for in their order, which is that of the file when they were recorded, and then anywhere; from the
    end, since what nodeagent appended stands below an equal line of somebody else's.
    """
    spans: list[Span | None] = [None] * len(blocks)
    limit = len(content)
    last = len(blocks) - 1
    while last >= 0:
        first, span = _find_run(content, blocks, last, limit)
        if span is not None:
            limit = begin = span[0]
            for index in range(first, last + 1):
                spans[index] = (begin, begin + len(blocks[index].text))
                begin += len(blocks[index].text)
        last = first - 1
    for index, block in reversed(list(enumerate(blocks))):
        if spans[index] is None and block.statement != _STUB:
            spans[index] = _find_free(content, block.text, spans, whole=block.adopted)
    return spans


@dataclass(frozen=True, slots=True)
class _Standing:
    """A piece and where it stands."""

    piece: Piece
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Call:
    """One call and what it finds; each method is a rule, and gives None where it does not apply."""

    content: bytes
    standing: Sequence[_Standing]
    statement: str
    text: bytes
    number: int  # of the claim

    def claim(self, statement: str | None) -> Decision | None:
        """Claim a block with this text, of the statement or (None) of any."""
        for found in self.standing:
            block = found.piece.block
            if found.piece.claim or block.text != self.text or block.statement == _STUB:
                continue
            if statement in {None, block.statement}:
                claimed = self._mine(adopted=block.adopted)
                return Decision(action=Action.STANDS, pieces=self._pieces(found, claimed), content=self.content)
        return None

    def replace(self, may_go: Callable[[Block], bool]) -> Decision | None:
        """Put the text in the place of nodeagent's own older one; at the end if it would run into the line below."""
        for older in self.standing:
            block = older.piece.block
            if not older.piece.claim and not block.adopted and may_go(block):
                break
        else:
            return None
        before, after = self.content[: older.start], self.content[older.end :]
        if self.text.endswith(_NEWLINE) or not block.text.endswith(_NEWLINE) or not after:
            content = before + self.text + after
            return Decision(action=Action.REPLACED, pieces=self._pieces(older, self._mine()), content=content)
        gone = older.end - older.start
        others = [s for s in self.standing if s is not older]
        moved = [_Standing(s.piece, s.start - gone, s.end - gone) if s.start >= older.end else s for s in others]
        at_end = dataclasses.replace(self, content=before + after, standing=moved).append()
        return dataclasses.replace(at_end, action=Action.REPLACED)

    def mend(self, broken: Sequence[bytes]) -> Decision | None:
        """Make a block whole again of which some lines were removed or changed by hand.

        Its surviving lines are gathered where the first of them stands, so that none stands twice; what others wrote in
        between comes after it. With less than half of its lines left, it is gone.
        """
        if not self.text.endswith(_NEWLINE):
            return None
        for text in broken:
            survivors = _survivors(self.content, text, [(s.start, s.end) for s in self.standing])
            if survivors:
                begin = survivors[0][0]
                rest = bytearray(self.content)
                for span in reversed(survivors):
                    del rest[slice(*span)]
                before = tuple(s.piece for s in self.standing if s.start < begin)
                after = tuple(s.piece for s in self.standing if s.start >= begin)
                content = bytes(rest[:begin]) + self.text + bytes(rest[begin:])
                return Decision(action=Action.REPLACED, pieces=(*before, self._mine(), *after), content=content)
        return None

    def adopt(self) -> Decision | None:
        """Take note of the text where it stands as whole lines that are nobody's block: best after the latest claim.

        Blank lines are everywhere: they count only there. A text without a newline is whole only at the very end.
        """
        spans = [(s.start, s.end) for s in self.standing]
        latest = max((s for s in self.standing if s.piece.claim), key=lambda s: s.piece.claim, default=None)
        found = None
        if latest is not None:
            near = self.content[: latest.end + len(self.text) + 1]
            found = _find_free(near, self.text, [(0, latest.end), *spans], whole=True)
        if found is None and self.text.strip():
            found = _find_free(self.content, self.text, spans, whole=True)
        if found is None or (found[1] < len(self.content) and not self.text.endswith(_NEWLINE)):
            return None
        adopted = _Standing(self._mine(adopted=True), *found)
        pieces = tuple(s.piece for s in sorted([*self.standing, adopted], key=lambda s: s.start))
        return Decision(action=Action.ADOPTED, pieces=pieces, content=self.content)

    def append(self) -> Decision:
        """Add the text at the end, and note what it continues."""
        before = list(self._pieces())
        end = max((s.end for s in self.standing), default=0)
        if end < len(self.content) and not self.content.endswith(_NEWLINE):
            begin = max(end, self.content.rfind(_NEWLINE) + 1)
            before.append(Piece(block=Block(statement=_STUB, text=self.content[begin:], adopted=True)))
        pieces = (*before, self._mine())
        return Decision(action=Action.APPENDED, pieces=pieces, content=self.content + self.text)

    def _mine(self, *, adopted: bool = False) -> Piece:
        return Piece(block=Block(statement=self.statement, text=self.text, adopted=adopted), claim=self.number)

    def _pieces(self, changed: _Standing | None = None, to: Piece | None = None) -> tuple[Piece, ...]:
        return tuple(to if to is not None and s is changed else s.piece for s in self.standing)


def _mendable(piece: Piece, call: _Call) -> bool:
    return piece.block.statement == call.statement and not piece.block.adopted and not piece.claim


def _survivors(content: bytes, text: bytes, taken: Sequence[Span]) -> list[Span]:
    """The lines of a broken block that still stand near one another, in its order; none if less than half do.

    Blank lines prove nothing. Of several places the one with the most lines counts, and of these the last, since what
    nodeagent appended stands below an equal line of somebody else's.
    """
    wanted = [line for line in _lines(text) if line.strip()]
    lines = _free_lines(content, taken)
    starts = [index for index, (line, _) in enumerate(lines) if line in set(wanted)]
    if len(starts) * len(wanted) > _MEND_LIMIT:
        return []
    best: list[Span] = []
    for start in starts:
        window = lines[start : start + len(wanted) + _MEND_SLACK]
        matcher = difflib.SequenceMatcher(None, wanted, [line for line, _ in window], autojunk=False)
        found = [window[m.b + k][1] for m in matcher.get_matching_blocks() for k in range(m.size)]
        if len(found) >= len(best):
            best = found
    return best if 2 * len(best) >= len(wanted) else []


def _lines(content: bytes) -> list[bytes]:
    """Split at newlines alone (``bytes.splitlines`` splits at carriage returns too), keeping them."""
    return [part + _NEWLINE for part in content.split(_NEWLINE)[:-1]] + [
        rest for rest in content.split(_NEWLINE)[-1:] if rest
    ]


def _free_lines(content: bytes, taken: Sequence[Span]) -> list[tuple[bytes, Span]]:
    """The whole lines that nothing of ``taken`` touches, with their places."""
    lines = []
    begin = 0
    for line in _lines(content):
        end = begin + len(line)
        if line.endswith(_NEWLINE) and not any(begin < stop and start < end for start, stop in taken):
            lines.append((line, (begin, end)))
        begin = end
    return lines


def _find_run(content: bytes, blocks: Sequence[Block], last: int, limit: int) -> tuple[int, Span | None]:
    """Find a block with as many of those before it as it may continue; tells the first of them."""
    if blocks[last].statement == _STUB:
        return last, None  # means nothing without what continues it
    first = last
    while first > 0 and not blocks[first - 1].text.endswith(_NEWLINE):
        first -= 1
    for begin in range(first, last + 1):
        text = b"".join(block.text for block in blocks[begin : last + 1])
        if (span := _find(content, text, limit, whole=blocks[last].adopted)) is not None:
            return begin, span
    return last, None


def _find(content: bytes, text: bytes, limit: int, *, whole: bool) -> Span | None:
    """The last place up to ``limit`` where the text begins a line. ``whole``: it must end one as well."""
    while limit >= len(text):
        begin = content.rfind(_NEWLINE + text, 0, limit) + 1
        end = begin + len(text)
        if not begin and not content.startswith(text):
            return None
        if not whole or text.endswith(_NEWLINE) or end == len(content) or content.startswith(_NEWLINE, end):
            return (begin, end)
        limit = end - 1
    return None


def _find_free(content: bytes, text: bytes, spans: Sequence[Span | None], *, whole: bool) -> Span | None:
    """The last place of the text where nothing of ``spans`` stands."""
    limit = len(content)
    while (found := _find(content, text, limit, whole=whole)) is not None:
        clash = min((span[0] for span in spans if span and span[0] < found[1] and found[0] < span[1]), default=None)
        if clash is None:
            return found
        limit = min(clash, found[1] - 1)
    return None
