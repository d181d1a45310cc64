"""The receiving end of a hand-over: root believes of what comes only what hashes prove.

The receiver makes the same walk as the sender (:mod:`nodeagent.source.checkout.sending`, which has the format). It
knows from the objects before it which id comes next, so the sender has nothing to choose: an object that does not hash
to that id ends the hand-over, and names, modes and order come only from trees that the commit vouches for. What is left
to judge is the commit's own content: limits, hostile names, submodules.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from nodeagent.config import Limits
from nodeagent.errors import RevisionRejected, WorkerFailed, by_code
from nodeagent.source.checkout.known import NOTHING, Known
from nodeagent.source.checkout.manifest import Entry, Item, Manifest
from nodeagent.source.checkout.sending import AHEAD, END, ERROR, FRAME, FRAMES, LONGEST_ERROR
from nodeagent.source.foreign import one_line
from nodeagent.source.store import objects
from nodeagent.source.store.objects import Kind, Mode, TreeEntry
from nodeagent.source.trust.history import ANYTHING, Standing, demand_young
from nodeagent.source.trust.signature import Approval

STAGING = ".nodeagent-staging"  # of the checkout: no path of a revision may begin with it

_CHUNK = 1 << 16
_LONGEST_COMMIT = 1 << 20  # bytes
_LONGEST_ENTRY = 7 + 1 + objects.LONGEST_NAME + 1 + objects.ID_BYTES  # of a tree, in bytes
_LONGEST_PATH = 3072  # bytes; leaves room for the checkout's own path within PATH_MAX
_LONGEST_TARGET = 4095  # bytes; what symlink(2) takes
_LONGEST_DESCENT = 100_000  # commits between the ancestor and the new one
_DEVIATES = "what was handed over is not what the commit names: is somebody at work in the fetch user's processes?"


def receive(
    stream: BinaryIO,
    commit: str,
    limits: Limits,
    staging: Path,
    have: Mapping[str, int],
    *,
    known: Known = NOTHING,
    standing: Standing = ANYTHING,
    approve: Approval | None = None,
) -> Manifest:
    """Take a revision in; runs as root, and trusts nothing of the stream.

    New blobs become files of ``staging`` (empty, and only root can enter it), named by their id, mode 0600.

    ``have`` holds the ids of the blobs that need not be sent, with their sizes, ``known`` the trees that need not be
    gone into, whose blobs are among them: ``export`` was told the same ones. The commit is accepted only if it descends
    from ``standing``, and ``approve``, which goes with a ``tagged`` of ``export``, does not object.

    Raises:
        RevisionRejected: the revision breaks a limit or is hostile, or the sender is.
        WorkerFailed: the stream ended early: the sender crashed or was killed.
        NodeagentError: what the sender failed with.
    """
    return _Receiver(stream, limits, staging, have, known).run(commit, standing, approve)


class _Receiver:
    """One hand-over under way: what was proven so far, and what comes next."""

    def __init__(self, stream: BinaryIO, limits: Limits, staging: Path, have: Mapping[str, int], known: Known) -> None:
        self._stream = stream
        self._limits = limits
        self._staging = staging
        self._sizes = dict(have)  # of blobs that are files here or in the staging directory
        self._known = known
        self._targets: dict[str, str] = {}  # of blobs that are links
        self._trees: dict[str, Sequence[TreeEntry]] = {}
        self._tree_room = limits.files * _LONGEST_ENTRY
        self._total = 0
        self._names = 0
        self._items: dict[str, Item] = {}
        self._directories: dict[str, str] = {}
        self._pointers: set[str] = set()  # blobs

    def run(self, commit: str, standing: Standing, approve: Approval | None) -> Manifest:
        tag = self._read(self._frame(FRAMES[Kind.TAG], f"the tag of {commit}", _LONGEST_COMMIT)) if approve else b""
        content = self._object(Kind.COMMIT, commit, _LONGEST_COMMIT, f"commit {commit}")
        try:
            if approve:
                approve(content, tag)
            tree = objects.commit_tree(content)
            if standing.earliest:
                demand_young(commit, objects.commit_date(content), standing)
            if standing.commits:
                self._follow(commit, content, standing.commits)
            self._walk(tree)
        except objects.MalformedError as error:
            raise RevisionRejected(f"commit {commit}: {error}: it was not made by git; push a sound one") from error
        if self._frame(END, "the end") != 0:
            raise RevisionRejected(f"commit {commit}: {_DEVIATES}")
        return Manifest(
            commit=commit,
            tree=tree,
            items=self._items,
            origin=objects.commit_origin(content),
            directories=self._directories,
            pointers=[path for path, item in self._items.items() if item.oid in self._pointers],
        )

    def _follow(self, commit: str, content: bytes, ancestors: Sequence[str]) -> None:
        """Take the commits in that lead back to one of the ancestors."""
        at = commit
        for _ in range(_LONGEST_DESCENT):
            if at in ancestors:
                return
            parents = objects.commit_parents(content)
            content = self._read(self._frame(FRAMES[Kind.COMMIT], at, _LONGEST_COMMIT))
            at = objects.object_id(Kind.COMMIT, content)
            if at not in parents:
                raise RevisionRejected(f"commit {commit}: {_DEVIATES}")
        raise RevisionRejected(f"commit {commit}: more than {_LONGEST_DESCENT} commits after {ancestors[0]}")

    def _walk(self, tree: str) -> None:
        walk = [(b"", iter(self._tree(tree, "the top of the tree")))]
        while walk:
            prefix, entries = walk[-1]
            entry = next(entries, None)
            if entry is None:
                walk.pop()
                continue
            path = prefix + entry.name
            shown = one_line(path)
            self._demand_harmless(entry.name, path, shown)
            if entry.mode is Mode.DIRECTORY:
                self._directories[os.fsdecode(path)] = entry.oid
                if entry.oid in self._known:
                    self._take_known(os.fsdecode(path), entry.oid, shown)
                else:
                    walk.append((path + b"/", iter(self._tree(entry.oid, shown))))
            else:
                self._items[os.fsdecode(path)] = self._item(entry, shown)

    def _take_known(self, path: str, oid: str, shown: str) -> None:
        """What stands in the checkout already was found harmless there; how much of it there is depends on the rest."""
        below = self._known.below(oid)
        items = {f"{path}/{name}": item for name, item in below.items.items()}
        directories = {f"{path}/{name}": inner for name, inner in below.directories.items()}
        if path != below.at:
            for name in map(os.fsencode, (*items, *directories)):
                if len(name) > _LONGEST_PATH:
                    raise _too_long(one_line(name))
        self._count(len(items) + len(directories), shown)
        self._weigh(sum(item.size for item in items.values()), shown)
        self._items |= items
        self._directories |= directories

    def _demand_harmless(self, name: bytes, path: bytes, shown: str) -> None:
        reason = objects.forbidden(name)
        if reason is None and len(path) > _LONGEST_PATH:
            raise _too_long(shown)
        if reason is None and path == STAGING.encode():
            reason = "a name that nodeagent keeps for itself"
        if reason is not None:
            raise RevisionRejected(f"{shown}: {reason}: remove it from the repository")
        self._count(1, shown)

    def _count(self, names: int, shown: str) -> None:
        self._names += names
        if self._names > self._limits.files:
            raise RevisionRejected(
                f"{shown}: the tree has more than {self._limits.files} files and directories: remove some, or raise "
                "limits.files"
            )

    def _tree(self, oid: str, shown: str) -> Sequence[TreeEntry]:
        if oid not in self._trees:
            content = self._object(Kind.TREE, oid, self._tree_room, shown)
            self._tree_room -= len(content)
            self._trees[oid] = objects.tree_entries(content)
        return self._trees[oid]

    def _item(self, entry: TreeEntry, shown: str) -> Item:
        if entry.mode is Mode.SUBMODULE:
            raise RevisionRejected(
                f"{shown}: is a submodule: they are not supported; copy its files into the repository"
            )
        if entry.mode is Mode.LINK:
            target = self._target(entry.oid, shown)
            size = len(os.fsencode(target))
            self._weigh(size, shown)  # root holds all of them in memory, and the checkout's record has them
            return Item(entry=Entry.LINK, oid=entry.oid, size=size, target=target)
        if entry.oid not in self._sizes:
            self._sizes[entry.oid] = self._stage(entry.oid, shown)
        size = self._sizes[entry.oid]
        self._weigh(size, shown)
        kind = Entry.EXECUTABLE if entry.mode is Mode.EXECUTABLE else Entry.FILE
        return Item(entry=kind, oid=entry.oid, size=size)

    def _weigh(self, size: int, shown: str) -> None:
        self._total += size
        if self._total > self._limits.total_bytes:
            raise RevisionRejected(
                f"{shown}: the tree has more than {self._limits.total_bytes} bytes with this one: remove some, or "
                "raise limits.total_bytes"
            )

    def _target(self, oid: str, shown: str) -> str:
        """A link's target. It may lead anywhere: nothing here follows it, and the link itself is what git stores."""
        if oid not in self._targets:
            content = self._object(Kind.BLOB, oid, _LONGEST_TARGET, f"{shown}: the link's target")
            if not content or b"\0" in content:
                raise RevisionRejected(f"{shown}: is a link without a target: remove it from the repository")
            self._targets[oid] = os.fsdecode(content)
        return self._targets[oid]

    def _stage(self, oid: str, shown: str) -> int:
        """Write a blob into the staging directory while hashing it; its size in bytes."""
        length = self._frame(FRAMES[Kind.BLOB], shown, self._limits.file_bytes)
        digest = objects.hasher(Kind.BLOB, length)
        descriptor = os.open(f"{self._staging}/{oid}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = length
            while left:
                chunk = self._read(min(left, _CHUNK))
                if length == left and objects.is_lfs_pointer(chunk):
                    self._pointers.add(oid)
                digest.update(chunk)
                _write_all(descriptor, chunk)
                left -= len(chunk)
        finally:
            os.close(descriptor)
        if digest.hexdigest() != oid:
            raise RevisionRejected(f"{shown}: {_DEVIATES}")
        return length

    def _object(self, kind: Kind, oid: str, limit: int, shown: str) -> bytes:
        content = self._read(self._frame(FRAMES[kind], shown, limit))
        if objects.object_id(kind, content) != oid:
            raise RevisionRejected(f"{shown}: {_DEVIATES}")
        return content

    def _frame(self, expected: bytes, shown: str, limit: int = 0) -> int:
        """Read a frame's head; the length of its content."""
        frame, length = FRAME.unpack(self._read(FRAME.size))
        if frame == AHEAD:
            frame, length = FRAME.unpack(self._read(FRAME.size)) if length <= limit else (expected, length)
        if frame == ERROR and length <= LONGEST_ERROR:
            code, _, text = self._read(length).decode(errors="replace").partition("\0")
            raise by_code(code, one_line(text))
        if frame != expected:
            raise RevisionRejected(f"{shown}: {_DEVIATES}")
        if length > limit:
            raise RevisionRejected(f"{shown}: has {length} bytes, {limit} are allowed: shrink it, or raise [limits]")
        return int(length)

    def _read(self, length: int) -> bytes:
        content = self._stream.read(length)
        if len(content) != length:
            raise WorkerFailed("the hand-over of the revision ended early: its sender crashed, or was ended")
        return content


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _too_long(shown: str) -> RevisionRejected:
    return RevisionRejected(f"{shown}: a path of more than {_LONGEST_PATH} bytes: remove it from the repository")
