"""APPEND's rule: what to do with a text that shall stand in a file. Pure; no I/O.

The blocks that nodeagent put into a destination, or found there, are one ordered multiset. Within an evaluation each
APPEND claims one block; the next call with the same text has to claim another one, so that a text that is appended
twice on purpose stands twice. A block counts only while it stands in the file: one that was edited by hand is gone.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from nodeagent.apply.standing import NEWLINE, STUB, find_blocks, find_free, survivors
from nodeagent.model.destinations import Block


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
        return _decision(Action.STANDS, standing, content)
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
    free = [i for i, p in enumerate(pieces) if not p.claim and p.block.text == text and p.block.statement != STUB]
    free.sort(key=lambda i: pieces[i].block.statement != statement)
    if not free:
        return tuple(pieces)
    return tuple(dataclasses.replace(p, claim=claim) if i == free[0] else p for i, p in enumerate(pieces))


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
            if found.piece.claim or block.text != self.text or block.statement == STUB:
                continue
            if statement in {None, block.statement}:
                claimed = dataclasses.replace(found, piece=self._mine(adopted=block.adopted))
                return _decision(Action.STANDS, [*self._without(found), claimed], self.content)
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
        others = self._without(older)
        if self.text.endswith(NEWLINE) or not block.text.endswith(NEWLINE) or not after:
            mine = _Standing(self._mine(), older.start, older.start + len(self.text))
            moved = _shifted(others, older.end, mine.end - older.end)
            return _decision(Action.REPLACED, [*moved, mine], before + self.text + after)
        if before and not before.endswith(NEWLINE):
            before += NEWLINE  # the line below stays a line
        moved = _shifted(others, older.end, len(before) - older.end)
        at_end = dataclasses.replace(self, content=before + after, standing=moved).append()
        return dataclasses.replace(at_end, action=Action.REPLACED)

    def mend(self, broken: Sequence[bytes]) -> Decision | None:
        """Make a block whole again of which some lines were removed or changed by hand.

        Its surviving lines are gathered where the first of them stands, so that none stands twice; what others wrote in
        between comes after it. With less than half of its lines left, it is gone.
        """
        if not self.text.endswith(NEWLINE):
            return None
        for text in broken:
            lines = survivors(self.content, text, [(s.start, s.end) for s in self.standing])
            if lines:
                begin = lines[0][0]
                rest = bytearray(self.content)
                moved = self.standing
                for start, end in reversed(lines):
                    del rest[start:end]
                    moved = _shifted(moved, end, start - end)
                mine = _Standing(self._mine(), begin, begin + len(self.text))
                moved = [*_shifted(moved, begin, len(self.text)), mine]
                return _decision(Action.REPLACED, moved, bytes(rest[:begin]) + self.text + bytes(rest[begin:]))
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
            found = find_free(near, self.text, [(0, latest.end), *spans], whole=True)
        if found is None and self.text.strip():
            found = find_free(self.content, self.text, spans, whole=True)
        if found is None or (found[1] < len(self.content) and not self.text.endswith(NEWLINE)):
            return None
        adopted = _Standing(self._mine(adopted=True), *found)
        return _decision(Action.ADOPTED, [*self.standing, adopted], self.content)

    def append(self) -> Decision:
        """Add the text at the end, and note what it continues."""
        standing = list(self.standing)
        length = len(self.content)
        end = max((s.end for s in standing), default=0)
        if end < length and not self.content.endswith(NEWLINE):
            begin = max(end, self.content.rfind(NEWLINE) + 1)
            stub = Piece(block=Block(statement=STUB, text=self.content[begin:], adopted=True))
            standing.append(_Standing(stub, begin, length))
        standing.append(_Standing(self._mine(), length, length + len(self.text)))
        return _decision(Action.APPENDED, standing, self.content + self.text)

    def _mine(self, *, adopted: bool = False) -> Piece:
        return Piece(block=Block(statement=self.statement, text=self.text, adopted=adopted), claim=self.number)

    def _without(self, one: _Standing) -> list[_Standing]:
        return [s for s in self.standing if s is not one]


def _decision(action: Action, standing: Sequence[_Standing], content: bytes) -> Decision:
    """Note of each piece whether it continues the one before it; a stub that nothing continues is forgotten."""
    pieces: list[Piece] = []
    end = -1  # of the piece before; -1: the next one begins a line
    for one in sorted(standing, key=lambda s: s.start):
        block = dataclasses.replace(one.piece.block, continues=one.start == end)
        if pieces and pieces[-1].block.statement == STUB and not block.continues:
            pieces.pop()
        pieces.append(dataclasses.replace(one.piece, block=block))
        end = -1 if block.text.endswith(NEWLINE) else one.end
    if pieces and pieces[-1].block.statement == STUB:
        pieces.pop()
    return Decision(action=action, pieces=tuple(pieces), content=content)


def _shifted(standing: Sequence[_Standing], behind: int, by: int) -> Sequence[_Standing]:
    """What stands at or behind a place is that many bytes further on."""
    return [dataclasses.replace(s, start=s.start + by, end=s.end + by) if s.start >= behind else s for s in standing]


def _mendable(piece: Piece, call: _Call) -> bool:
    return piece.block.statement == call.statement and not piece.block.adopted and not piece.claim
