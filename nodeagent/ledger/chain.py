"""One destination in one evaluation: how the last one left it, what its verbs have done so far and have written."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nodeagent.ledger.destinations import Row
from nodeagent.model.destinations import Content, Stat
from nodeagent.model.evaluation import Phase, Statement

ADDING = frozenset({Phase.APPEND, Phase.MERGE})
"""What these want is not what the whole file comes to be."""
_CLOCK_TICK = 100_000_000  # ns; a file's times come from a clock of the kernel's that ticks every 10 ms or faster


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A destination as the last evaluation left it, and what the chain of its verbs wanted.

    ``reads`` has for each of them the fingerprint of the file that it read (empty: none, or not known). ``cut_short``:
    how the destination was left is not on record, and was looked up now.
    """

    row: Row
    chain: Sequence[Content]
    reads: Sequence[bytes]
    cut_short: bool = False

    def is_edited(self) -> bool:
        """Whether a later step has edited what the verbs had written."""
        return self.row.left is not None and self.row.left_digest != self.row.native_digest

    def dressed(self, wanted: Content) -> Content | None:
        """What is wanted, with the mode and owner that steps have given it in place of those that the verbs wanted."""
        left, asked = self.row.content(), self.chain[-1]
        if left is None:
            return None
        changed = {name: getattr(left, name) for name in ("mode", "uid", "gid")}
        return replace(wanted, **{n: value for n, value in changed.items() if value != getattr(asked, n)})


@dataclass(slots=True)
class Placed:
    """What this evaluation did to a destination so far."""

    statement: Statement
    phase: Phase
    chain: list[Content] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    created: bool = False
    changed: bool = False
    diverged: bool = False  # the verbs wanted other things than the last time
    edited: bool = False  # by a step between two verbs
    as_left: bool = False  # what the last evaluation left was put back, with what a later step had made of it
    stat: Stat | None = None
    digest: str = ""  # of what an APPEND or a MERGE has changed

    def is_as_placed(self, now: Stat | None) -> bool:
        """Whether nobody has written to it since (its mode and owner may be other ones)."""
        if now is None or self.stat is None:
            return now is self.stat
        return (now.inode, now.size, now.mtime_ns) == (self.stat.inode, self.stat.size, self.stat.mtime_ns)

    def digest_as_placed(self, now: Stat) -> str:
        """The digest of what a verb has written, if the lstat proves that it stands there untouched; else empty.

        Whoever writes in place within the clock tick in which it was made changes no more than its modification time:
        so that one has to be an earlier file's, as ``rsync -t`` sets it.
        """
        old = now.ctime_ns - now.mtime_ns >= _CLOCK_TICK
        whole = self.changed and not self.as_left and self.phase not in ADDING and stat.S_ISREG(now.mode)
        return self.chain[-1].digest if whole and old and now == self.stat else ""

    def repeats(self, past: Past | None) -> bool:
        """Whether its verbs have found all as it was, and wanted so far what they wanted the last time."""
        return past is not None and not self.changed and list(past.chain[: len(self.chain)]) == self.chain

    def native(self, past: Past | None, left: str, *, as_placed: bool) -> str:
        """The digest behind the last native verb: where nobody wrote to the file after it, what is left."""
        known = past is None or past.row.left_digest == past.row.native_digest
        if as_placed and not self.as_left and (self.changed or known):
            return left
        return self.written(past)

    def written(self, past: Past | None) -> str:
        """The digest of what the verbs have written or found, or empty where one that adds has found it."""
        if past is not None and (self.as_left or not self.changed):
            return past.row.native_digest
        return self.digest if self.phase in ADDING else self.chain[-1].digest
