"""``undo``: put back what stood there before nodeagent, path by path, and leave it so."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.apply import leftovers, merge, takeback
from nodeagent.ledger import origin, staging, undo
from nodeagent.ledger.database import Connection
from nodeagent.ledger.origin import Known
from nodeagent.ledger.undo import Deed, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was, or would be, done to a path. ``failed``: it stands as it did."""

    path: str
    text: str
    failed: bool


def put_back(
    connection: Connection, paths: Sequence[str], *, kept: Path, hold: int | None, force: bool, dry_run: bool
) -> Iterator[Undone]:
    """Undo paths (absolute, resolved), in an order in which each finds what it needs.

    Args:
        connection: The ledger, open to be written unless ``dry_run``.
        paths: Known ones.
        kept: The directory of the kept copies.
        hold: The source that is to leave them alone from now on; None: the source is withdrawn as a whole.
        force: Lose what was changed since.
        dry_run: Only tell.
    """
    known = [found for path in paths if (found := origin.find(connection, path, kept=kept)) is not None]
    for one in sorted(known, key=_order):
        there = os.path.lexists(one.path)
        changed = origin.differences(one.placed, one.path) if one.placed is not None else ()
        verdict = undo.decide(one, changed=changed, there=there, force=force)
        text, failed = f"{verdict.deed.value}{': ' if verdict.reason else ''}{verdict.reason}", False
        if verdict.deed is Deed.REFUSE:
            failed = True
        elif not dry_run:
            above = os.path.dirname(one.path)
            staging.note(connection, above)
            try:
                text = _carry_out(one, verdict) or text
            except OSError as error:
                text, failed = f"cannot be undone: {error.strerror or error}", True
            staging.forget(connection, leftovers.remove([above]))
        if not failed and not dry_run:
            undo.forget(connection, one.path, hold=hold)
        yield Undone(path=one.path, text=text, failed=failed)


def _order(known: Known) -> tuple[int, bytes]:
    """Directories that come back, then files, then directories that go, the deepest first."""
    path = os.fsencode(known.path)
    if known.before is not None and stat.S_ISDIR(known.before.content.kind):
        return (0, path)
    left = known.placed.left if known.placed is not None else None
    if left is not None and stat.S_ISDIR(left.mode):
        return (2, bytes(255 - byte for byte in path) + b"\xff")
    return (1, path)


def _carry_out(known: Known, verdict: Verdict) -> str:
    """Do it; what is to be said of it, if it came out otherwise than the verdict says."""
    match verdict.deed:
        case Deed.REMOVE:
            return "" if takeback.remove(known.path) else "left: a directory that is not empty"
        case Deed.RESTORE:
            assert known.before is not None
            takeback.restore(known.path, known.before.content, known.before.copy)
        case Deed.TAKE_OUT:
            return _take_out(known)
        case Deed.FORGET | Deed.REFUSE:
            pass
    return ""


def _take_out(known: Known) -> str:
    assert known.placed is not None
    own = {n for n, one in enumerate(known.blocks) if not one.block.adopted}
    blocks = [one.block for one in known.blocks]
    left = len(merge.take_out(known.path, known.entries)) if known.entries else 0
    if own:
        left += len(takeback.take_out(known.path, blocks, own, may_remove=known.placed.created))
    return f"{Deed.TAKE_OUT.value}, but for {left} that do not stand there as added" if left else ""
