"""Destinations: what the ledger remembers of them, and what the native verbs ask it for."""

import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from nodeagent.model.evaluation import Change, Phase


class Stat(NamedTuple):
    """The lstat of a destination; two equal ones mean that nobody touched it. Times in ns.

    A tuple, as a node may have tens of thousands of destinations, and each is looked at in every evaluation.
    """

    mode: int  # st_mode with the type bits
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a destination is or should be, apart from times.

    ``digest`` is the SHA-256 (hex) of a regular file's bytes, the target of a link, or empty for a directory.
    """

    kind: int  # stat.S_IFREG, S_IFLNK or S_IFDIR
    digest: str
    mode: int  # permission bits, 0..0o7777
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Text that stands in a destination because a step appended it (or was found there: ``adopted``)."""

    statement: str  # Statement.key
    text: bytes
    adopted: bool
    continues: bool = field(default=False, compare=False)  # the line that the block before it began


class Treatment(enum.Enum):
    """What becomes of a destination that steps edit behind its verbs."""

    LEAVE = enum.auto()  # it stays as they left it
    HOLD = enum.auto()  # it stays so until all of them may run: then it is placed anew
    ANEW = enum.auto()  # the verbs begin anew, and the steps edit it again
    DRESSED = enum.auto()  # a new text keeps the mode and owner that the steps gave the old one


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """``reason`` says what it waits for, or why it stays."""

    treatment: Treatment
    reason: str = ""


MERGED = "merge:"
"""Stands before the digest in a :class:`Content` that a MERGE wants: it is of the entries, not of a whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that a MERGE put into a user database. ``former``: what stood under its name before, perhaps several
    lines; None: nothing did."""

    statement: str  # Statement.key
    text: bytes = field(repr=False)  # of shadow it has a password's hash
    former: bytes | None = field(repr=False)


class Destinations(Protocol):
    """The ledger as the native verbs see it, for the evaluation under way. Paths are absolute and resolved."""

    def untouched(self, path: str, there: os.stat_result, *, read: bytes, mode: int, uid: int, gid: int) -> bool:
        """The first verb of the destination's chain read the file with this fingerprint the last time and wanted this
        mode and owner, and the destination's lstat is what the last evaluation left: there is nothing to do, nor to be
        read, and it is remembered that the verb has seen to it."""

    def settled(self, path: str, wanted: Content) -> bool:
        """The verb at this place of the destination's chain wanted the same last time, and the destination still is
        (by its stat, else by its digest) as the last evaluation left it: there is nothing to do."""

    def left(self, path: str, wanted: Content) -> Content | None:
        """How the last evaluation left the destination, if the verb wanted the same then as now, else None."""

    def left_absent(self, path: str) -> bool:
        """A later step of the last evaluation removed the destination, and is not run again in this one: the verb is
        not to put it back, whatever it wants."""

    def edited(self, path: str) -> bool:
        """A later step of the last evaluation edited what the verbs had written, and is not run again in this one: a
        verb that wants what it wanted then is to put back what was left."""

    def stands(self, path: str, wanted: Content) -> bool:
        """The destination is to stay as the last evaluation left it, whatever its verbs want (:class:`Treatment`)."""

    def copy_of(self, content: Content) -> Path | None:
        """Where the bytes of a file that was left so are kept; None: it was too large."""

    def only_appended(self, path: str) -> bool:
        """All verbs on the destination were APPENDs or MERGEs: the rest of it is somebody else's."""

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change, *, read: bytes = b"") -> None:
        """The verb has seen to the destination: remember it, its place in the chain, and what it wanted.

        ``read`` is the fingerprint of the file that it read, if that can be known again by it."""

    def staging(self, directory: str) -> None:
        """Something is about to be made in the directory under a temporary name; :meth:`keep` says so, too."""

    def keep(self, path: str) -> None:
        """The path is about to be changed, made or removed: keep a copy of what stands there, the first time."""

    def blocks(self, path: str) -> Sequence[Block]:
        """The blocks that earlier evaluations, and this one so far, put into the destination, in their order."""

    def appended(self, path: str, blocks: Sequence[Block]) -> None:
        """Remember these as the destination's blocks."""

    def entries(self, path: str) -> Sequence[Entry]:
        """The entries that MERGEs put into the destination, earlier and in this evaluation so far."""

    def merged(self, path: str, entries: Sequence[Entry]) -> None:
        """Remember these as the destination's entries."""
