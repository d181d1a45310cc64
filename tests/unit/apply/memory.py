"""The ledger in memory: what the real one promises about destinations, without a database.

It looks at the files themselves, as the real one does. ``next_evaluation`` ends one evaluation and begins another.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.model.destinations import Block, Content, Entry, Stat
from nodeagent.model.evaluation import Change, Phase


def content_of(path: str) -> Content | None:
    """What stands at the path, or None."""
    try:
        there = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind = stat.S_IFMT(there.st_mode)
    digest = ""
    if kind == stat.S_IFREG:
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    elif kind == stat.S_IFLNK:
        digest = os.readlink(path)
    return Content(kind=kind, digest=digest, mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)


def stat_of(path: str) -> Stat | None:
    try:
        return Stat.of(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


_CHANGES = (Change.CREATED, Change.UPDATED)


@dataclass
class _Left:
    """How an evaluation left one destination, and what its verbs wanted, in their order."""

    chain: list[Content]
    content: Content | None
    stat: Stat | None
    edited: bool = False


@dataclass
class Memory:
    """Implements :class:`nodeagent.model.destinations.Destinations`."""

    left_by_last: dict[str, _Left] = field(default_factory=dict)
    chain: dict[str, list[Content]] = field(default_factory=dict)
    kept: dict[str, bytes | str | None] = field(default_factory=dict)
    all_blocks: dict[str, Sequence[Block]] = field(default_factory=dict)
    all_entries: dict[str, Sequence[Entry]] = field(default_factory=dict)
    log: list[tuple[str, Phase, Change]] = field(default_factory=list)
    copies: dict[str, Path] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)

    def settled(self, path: str, wanted: Content) -> bool:
        left = self._last(path, wanted)
        if left is None or left.content is None:
            return False
        return stat_of(path) == left.stat or content_of(path) == left.content

    def untouched(self, path: str, there: os.stat_result, *, read: bytes, mode: int, uid: int, gid: int) -> bool:
        return False

    def left(self, path: str, wanted: Content) -> Content | None:
        left = self._last(path, wanted)
        return left.content if left else None

    def left_absent(self, path: str) -> bool:
        left = self.left_by_last.get(path)
        return (
            left is not None and left.content is None and not any(p == path and c in _CHANGES for p, _, c in self.log)
        )

    def edited(self, path: str) -> bool:
        left = self.left_by_last.get(path)
        return left is not None and left.content is not None and left.edited

    def stands(self, path: str, wanted: Content) -> bool:
        return False

    def copy_of(self, content: Content) -> Path | None:
        return self.copies.get(content.digest)

    def only_appended(self, path: str) -> bool:
        left = self.left_by_last.get(path)
        texts = {hashlib.sha256(block.text).hexdigest() for block in self.blocks(path)}
        return left is None or all(wanted.digest in texts for wanted in left.chain)

    def placed(self, path: str, phase: Phase, wanted: Content, change: Change, *, read: bytes = b"") -> None:
        assert os.path.isabs(path)
        assert os.path.realpath(os.path.dirname(path)) == os.path.dirname(path)
        assert change not in _CHANGES or os.path.dirname(path) in self.announced
        self.chain.setdefault(path, []).append(wanted)
        self.log.append((path, phase, change))

    def staging(self, directory: str) -> None:
        self.announced.add(directory)

    def keep(self, path: str) -> None:
        self.staging(os.path.dirname(path))
        if path in self.kept or path in self.left_by_last or not os.path.lexists(path):
            return
        there = os.lstat(path)
        if stat.S_ISREG(there.st_mode):
            with open(path, "rb") as stream:
                self.kept[path] = stream.read()
        else:
            self.kept[path] = os.readlink(path) if stat.S_ISLNK(there.st_mode) else None

    def blocks(self, path: str) -> Sequence[Block]:
        return self.all_blocks.get(path, ())

    def appended(self, path: str, blocks: Sequence[Block]) -> None:
        self.all_blocks[path] = tuple(blocks)

    def entries(self, path: str) -> Sequence[Entry]:
        return self.all_entries.get(path, ())

    def merged(self, path: str, entries: Sequence[Entry]) -> None:
        self.all_entries[path] = tuple(entries)

    def next_evaluation(self) -> None:
        for path, chain in self.chain.items():
            self.left_by_last[path] = _Left(chain=chain, content=content_of(path), stat=stat_of(path))
        self.chain = {}
        self.log = []
        self.announced.clear()

    def _last(self, path: str, wanted: Content) -> _Left | None:
        left = self.left_by_last.get(path)
        place = len(self.chain.get(path, ()))
        if left is None or place >= len(left.chain) or left.chain[place] != wanted:
            return None
        return left
