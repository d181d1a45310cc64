"""The sending end of a hand-over: an unprivileged child sends a revision's git objects out of the store.

The stream is a row of frames: one byte for the kind, the length in 8 bytes (big-endian), the content. When signatures
are asked for, first the annotated tag by which the ref stands for the commit (empty without one). Then the commit;
when an ancestor is asked for, the commits that lead from it back to the ancestor; then trees and blobs in the order in
which a depth-first walk of the tree meets them, each once, without what the receiver has; then an end frame.
An error frame may come at any time. The length of a large object comes ahead in a frame without content, before its
sender has it in memory.
"""

import contextlib
import struct
from collections.abc import Container
from pathlib import Path
from typing import BinaryIO

from nodeagent.errors import NodeagentError, StoreUnusable
from nodeagent.source import libgit2
from nodeagent.source.store import git, objects
from nodeagent.source.store.objects import Kind, Mode, TreeEntry
from nodeagent.source.trust.descent import descent
from nodeagent.source.trust.history import ANYTHING, Standing

FRAME = struct.Struct(">cQ")
FRAMES = {Kind.COMMIT: b"c", Kind.TREE: b"t", Kind.BLOB: b"b", Kind.TAG: b"g"}
ERROR = b"e"
END = b"."
AHEAD = b"l"  # the length of the next frame
LONGEST_ERROR = 4096  # bytes
_LARGE = 1 << 20  # bytes; of what is told ahead


def export(
    store_path: Path,
    commit: str,
    have: Container[str],
    stream: BinaryIO,
    *,
    standing: Standing = ANYTHING,
    tagged: str = "",
) -> None:
    """Send a revision; runs in an unprivileged child that owns the store and talks to no network.

    A failure is sent too, so that the receiver raises it on the other side.

    ``have`` holds the ids of the blobs that the receiver has already, and of trees with all that is below them. With a
    ``standing`` that is not empty, the proof goes along that the commit descends from it. ``tagged`` is the ref whose
    annotated tag is asked for; empty if none is.
    """
    libgit2.configure(Path("/nonexistent"), 1, 1)
    store = git.Store.open(store_path)
    with contextlib.suppress(BrokenPipeError):  # the receiver has seen enough
        try:
            if tagged:
                _send(stream, FRAMES[Kind.TAG], store.tag_of(tagged, commit))
            _export(store, commit, have, stream, standing)
        except NodeagentError as error:
            if isinstance(error, StoreUnusable) and store.has(commit):
                git.Store.anew(store_path)  # damaged: the next poll fetches all of it again
            _send(stream, ERROR, f"{error.code}\0{error}".encode(errors="replace")[:LONGEST_ERROR])
            stream.flush()


def _export(store: git.Store, commit: str, have: Container[str], stream: BinaryIO, standing: Standing) -> None:
    for oid in descent(store, commit, standing):
        _send(stream, FRAMES[Kind.COMMIT], store.read(oid))
    with contextlib.suppress(objects.MalformedError):  # the receiver finds it too, and says so
        _send_contents(store, objects.commit_tree(store.read(commit)), have, stream)
        _send(stream, END, b"")
    stream.flush()


def _send(stream: BinaryIO, frame: bytes, content: bytes) -> None:
    stream.write(FRAME.pack(frame, len(content)))
    stream.write(content)


def _send_contents(store: git.Store, tree: str, have: Container[str], stream: BinaryIO) -> None:
    """Trees and blobs in the order of a depth-first walk, each once (a blob twice if it is file and link)."""
    sent: set[tuple[Mode, str]] = set()
    walk = [iter([TreeEntry(mode=Mode.DIRECTORY, name=b"", oid=tree)])]
    while walk:
        entry = next(walk[-1], None)
        if entry is None:
            walk.pop()
            continue
        mode = Mode.FILE if entry.mode is Mode.EXECUTABLE else entry.mode
        known = mode is Mode.SUBMODULE or (mode is not Mode.LINK and entry.oid in have)
        if known or (mode, entry.oid) in sent:
            continue
        sent.add((mode, entry.oid))
        size = store.size(entry.oid)
        if size > _LARGE:
            stream.write(FRAME.pack(AHEAD, size))
            stream.flush()
        content = store.read(entry.oid)
        _send(stream, FRAMES[Kind.TREE if mode is Mode.DIRECTORY else Kind.BLOB], content)
        if mode is Mode.DIRECTORY:
            walk.append(iter(objects.tree_entries(content)))
