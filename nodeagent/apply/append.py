"""APPEND: what ``>>FILE`` leaves behind when it runs for the first time, however often it runs."""

import dataclasses
import os
import stat
from collections.abc import Sequence, Set
from hashlib import sha256

from nodeagent.apply import rewrite
from nodeagent.apply.as_left import put_back
from nodeagent.apply.blocks import Action, Piece, claim_settled, decide
from nodeagent.apply.paths import Place, locate
from nodeagent.model.destinations import Block, Content, Destinations
from nodeagent.model.evaluation import Change, FileChange, Phase


class Appends:
    """The APPENDs of one evaluation: which block of which destination was claimed by a call of it already.

    It always works from what stands in a file, so that a COPY or a WRITE of the same file in between needs no word.
    """

    def __init__(self, *, statements: Set[str] | None = None) -> None:
        """Args: ``statements`` are the keys of all statements of the program, if all are known.

        With it, a text whose statement was edited away makes way for a new one; without it, only the same statement's
        older text does.
        """
        self.statements = statements
        self._pieces: dict[str, tuple[Piece, ...]] = {}

    def pieces(self, path: str, destinations: Destinations) -> tuple[Piece, ...]:
        """The blocks of a destination, in the order of the file, with the claims on them."""
        if path not in self._pieces:
            self._pieces[path] = tuple(Piece(block=block) for block in destinations.blocks(path))
        return self._pieces[path]

    def known_text(self, path: str, statement: str, destinations: Destinations) -> bytes | None:
        """The text that the statement's next call had the last time."""
        pieces = self.pieces(path, destinations)
        return next((p.block.text for p in pieces if p.block.statement == statement and not p.claim), None)

    def intend(self, path: str, pieces: tuple[Piece, ...], destinations: Destinations) -> None:
        """Note, before the file is written, the blocks that it has and those that it will have.

        After a crash in between, whichever stands is known as nodeagent's own; one that does not counts as gone.
        """
        now = list(destinations.blocks(path))
        then = [piece.block for piece in pieces]
        if then != now:
            destinations.appended(path, [*then, *(block for block in now if block not in then)])

    def set_pieces(self, path: str, pieces: tuple[Piece, ...], destinations: Destinations) -> None:
        """Note a destination's blocks and claims, and tell the ledger when the blocks are other ones."""
        blocks = [piece.block for piece in pieces]
        known = destinations.blocks(path)
        if blocks != list(known) or [b.continues for b in blocks] != [b.continues for b in known]:
            destinations.appended(path, blocks)
        self._pieces[path] = pieces

    def unclaimed(self, path: str) -> Sequence[Block] | None:
        """The blocks of a destination that no call wanted; None: there was no call for it."""
        pieces = self._pieces.get(path)
        return None if pieces is None else [piece.block for piece in pieces if not piece.claim]


def append(
    path: str,
    *,
    cwd: str,
    text: bytes,
    statement: str,
    umask: int,
    destinations: Destinations,
    session: Appends,
    partial: bool = False,
) -> FileChange:
    """Make sure that the text stands in a file, once for each call of an evaluation.

    Args:
        path: As the shell gave it.
        cwd: The shell's working directory, absolute.
        text: What the statement wrote.
        statement: The statement's key.
        umask: The shell's.
        destinations: The ledger.
        session: Of this evaluation.
        partial: What would have written the rest was not run again: the text is what it was the last time.

    Returns:
        What came of it; FAILED, with the reason, where a redirection fails too (the shell's status for that is 1 in
        bash and 2 in dash), and where following the path is not safe.
    """
    resolved = os.path.realpath(os.path.join(cwd, path))
    try:
        if destinations.left_absent(resolved):
            change = rewrite.leave_absent(resolved, destinations)
            destinations.placed(resolved, Phase.APPEND, rewrite.of_text(text, umask, os.getegid()), change)
            return FileChange(path=resolved, change=change)
        with locate(path, cwd=cwd, follow=True) as place:
            if partial:
                text = session.known_text(place.path, statement, destinations) or text
            # In the ledger's chain this verb's "wanted" is the text, not what the file becomes by it.
            wanted = rewrite.as_created(place, text, umask)
            change = _append(place, text, wanted, statement=statement, destinations=destinations, session=session)
            destinations.placed(place.path, Phase.APPEND, wanted, change)
            return FileChange(path=place.path, change=change)
    except OSError as error:
        named = os.path.join(cwd, path)
        return FileChange(path=named, change=Change.FAILED, reason=f"cannot create {path}: {error.strerror or error}")


def _append(
    place: Place, text: bytes, wanted: Content, *, statement: str, destinations: Destinations, session: Appends
) -> Change:
    there = rewrite.look_at(place)
    if destinations.stands(place.path, wanted):
        return Change.UNCHANGED
    pieces = session.pieces(place.path, destinations)
    change = Change.UNCHANGED
    settled = there is not None and destinations.settled(place.path, wanted)
    left = None if settled else destinations.left(place.path, wanted)
    if left is not None and destinations.edited(place.path):
        # Where this verb only added to somebody else's file, what others have made of it since is not to be lost.
        if there is None or not destinations.only_appended(place.path):
            change = put_back(place, left, destinations)
        settled = True
    content = rewrite.read(place, there) if there is not None and not settled else b""
    if settled or (there is not None and left is not None and left.digest == sha256(content).hexdigest()):
        # Also where a later step has edited the text: this verb adds, it does not begin anew as COPY and WRITE do.
        claimed = claim_settled(pieces, statement=statement, text=text)
        session.set_pieces(place.path, claimed, destinations)
        return change
    decision = decide(content, pieces, statement=statement, text=text, live=session.statements)
    session.intend(place.path, decision.pieces, destinations)
    if there is None:
        destinations.keep(place.path)
        rewrite.create(place, decision.content, left if left is not None and left.kind == stat.S_IFREG else wanted)
        change = Change.CREATED
    elif decision.action is Action.APPENDED:
        destinations.keep(place.path)
        rewrite.append(place, there, text)
        change = Change.UPDATED
    elif decision.action is Action.REPLACED:
        destinations.keep(place.path)
        rewrite.replace(place, there, decision.content, _as_is(wanted, there))
        change = Change.UPDATED
    session.set_pieces(place.path, decision.pieces, destinations)
    return change


def _as_is(wanted: Content, there: os.stat_result) -> Content:
    return dataclasses.replace(wanted, mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)
