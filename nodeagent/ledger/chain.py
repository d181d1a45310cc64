"""One destination in one evaluation: how the last one left it, what its verbs have done so far and have written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nodeagent.ledger.destinations import Row
from nodeagent.model import Content, Phase, Stat, Statement

ADDING = frozenset({Phase.APPEND, Phase.MERGE})
"""What these want is not what the whole file comes to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A destination as the last evaluation left it, and what the chain of its verbs wanted."""

    row: Row
    chain: Sequence[Content]


@dataclass(slots=True)
class Placed:
    """What this evaluation did to a destination so far."""

    statement: Statement
    phase: Phase
    chain: list[Content] = field(default_factory=list)
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
