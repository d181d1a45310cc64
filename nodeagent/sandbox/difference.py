"""What a sandbox left, compared with the node: one destination as a unified diff, or the whole tree.

Looked at by the process that built the root: it sees the node at its own paths, and what was changed in the layers'
upper directories, in which overlayfs notes a removal as a character device 0:0 and a directory that hides the node's by
an attribute (Documentation/filesystems/overlayfs.rst).
"""

import difflib
import filecmp
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from nodeagent.model.events import Difference, TreeChange
from nodeagent.sandbox import secret
from nodeagent.sandbox.mounts import is_below
from nodeagent.sandbox.root import Layer, Root

_OPAQUE = "trusted.overlay.opaque"
_LONGEST = 256 * 1024  # bytes of a file of which a diff is made
_MOST = 128 * 1024  # characters of a diff
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A destination's difference: ``hidden`` says why there is no ``diff``."""

    detail: str = ""
    diff: str = ""
    hidden: str = ""


def of_destination(root: Root, path: str) -> Shown:
    """How a destination differs from the node's own."""
    layer = max((each for each in root.layers if is_below(path, each.point)), key=lambda each: len(each.point))
    if not layer.lower:
        return Shown(hidden=f"{layer.point} is empty inside, whatever the node has there")
    try:
        upper = layer.upper if layer.file else _find(layer.upper, PurePosixPath(path).relative_to(layer.point).parts)
    except NotADirectoryError:
        return Shown(hidden="a directory above it became something else")
    if upper is None:
        return Shown()
    before, after = _lstat(path), None if not upper else _lstat(upper)
    detail = _attributes(before, after) if before and after else ""
    if any(status is not None and stat.S_ISDIR(status.st_mode) for status in (before, after)):
        return Shown(detail=detail)
    texts: list[list[str]] = []
    for status, at in ((before, path), (after, upper)):
        if status is None:
            texts.append([])
            continue
        hidden, content = _read(path, at, status)
        if hidden:
            return Shown(detail=detail, hidden=hidden)
        texts.append(content.decode().splitlines(keepends=True))
    names = [path if status is not None else os.devnull for status in (before, after)]
    diff = "".join(map(_ended, difflib.unified_diff(texts[0], texts[1], names[0], names[1])))
    if len(diff) > _MOST:
        return Shown(detail=detail, hidden="the difference is too long")
    return Shown(detail=detail, diff=diff)


def of_tree(root: Root, leave_out: Collection[str]) -> Iterator[TreeChange]:
    """Every path that differs, without what lies below those left out."""
    points = {layer.point for layer in root.layers}
    for layer in root.layers:
        if layer.file:
            yield from _one(layer.point, layer.upper, layer.lower)
        else:
            yield from _Walk(layer, points - {layer.point}, leave_out).run()


# --- one destination ---------------------------------------------------------------------------------------------


def _find(top: str, names: Collection[str]) -> str | None:
    """The path in the upper layer; empty: it was removed; None: the node's own is what is seen.

    Raises:
        NotADirectoryError: something above it is no directory.
    """
    at, opaque = top, False
    for number, name in enumerate(names):
        opaque |= _is_opaque(at)
        at = f"{at}/{name}"
        status = _lstat(at)
        if status is None:
            return "" if opaque else None
        if _is_whiteout(status):
            return ""
        if number < len(names) - 1 and not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(at)
    return at


def _read(path: str, at: str, status: os.stat_result) -> tuple[str, bytes]:
    """Why the content is not to be shown, or the content."""
    if stat.S_ISLNK(status.st_mode):
        return "", b"-> " + os.fsencode(os.readlink(at)) + b"\n"
    if not stat.S_ISREG(status.st_mode):
        return f"a {_KINDS[stat.S_IFMT(status.st_mode)]}", b""
    with open(os.open(at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        content = file.read(_LONGEST + 1)
    if hidden := secret.reason(path, status.st_mode, content):
        return hidden, b""
    if len(content) > _LONGEST:
        return "it is too large", b""
    try:
        content.decode()
    except UnicodeDecodeError:
        return "binary", b""
    return ("binary", b"") if b"\0" in content else ("", content)


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


# --- the tree ----------------------------------------------------------------------------------------------------


class _Walk:
    """A walk over one layer."""

    def __init__(self, layer: Layer, points: Collection[str], leave_out: Collection[str]) -> None:
        self._layer = layer
        self._points = points
        self._leave_out = leave_out

    def run(self) -> Iterator[TreeChange]:
        lower = self._layer.lower or None
        if lower is not None:
            yield from _one(self._layer.point, self._layer.upper, lower)
        yield from self._directory(self._layer.point.rstrip("/"), self._layer.upper, lower)

    def _directory(self, path: str, upper: str, lower: str | None) -> Iterator[TreeChange]:
        for name in sorted(os.listdir(upper)):
            at = f"{path}/{name}"
            if at not in self._points and not any(is_below(at, top) for top in self._leave_out):
                yield from self._entry(at, f"{upper}/{name}", None if lower is None else f"{lower}/{name}")
        if lower is not None and _is_opaque(upper):
            for name in sorted(set(os.listdir(lower or "/")) - set(os.listdir(upper))):
                yield TreeChange(path=f"{path}/{name}", difference=Difference.REMOVED)

    def _entry(self, path: str, upper: str, lower: str | None) -> Iterator[TreeChange]:
        status = os.lstat(upper)
        before = None if lower is None else _lstat(lower)
        if _is_whiteout(status):
            if before is not None:
                yield TreeChange(path=path, difference=Difference.REMOVED, detail=_KINDS[stat.S_IFMT(before.st_mode)])
            return
        yield from _one(path, upper, lower)
        if stat.S_ISDIR(status.st_mode):
            both = before is not None and stat.S_ISDIR(before.st_mode)
            yield from self._directory(path, upper, lower if both else None)


def _one(path: str, upper: str, lower: str | None) -> Iterator[TreeChange]:
    after = os.lstat(upper)
    before = None if lower is None else _lstat(lower)
    kind = _KINDS[stat.S_IFMT(after.st_mode)]
    if before is None or lower is None:
        mode = "" if kind == "link" else f", mode {stat.S_IMODE(after.st_mode):04o}"
        yield TreeChange(path=path, difference=Difference.NEW, detail=kind + mode)
        return
    was = _KINDS[stat.S_IFMT(before.st_mode)]
    if was != kind:
        yield TreeChange(path=path, difference=Difference.CHANGED, detail=f"a {was} became a {kind}")
        return
    attributes = _attributes(before, after)
    if not _is_same(upper, lower, after):
        yield TreeChange(path=path, difference=Difference.CHANGED, detail=attributes)
    elif attributes:
        yield TreeChange(path=path, difference=Difference.ATTRIBUTES, detail=attributes)


def _is_same(upper: str, lower: str, status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(upper) == os.readlink(lower)
    return not stat.S_ISREG(status.st_mode) or filecmp.cmp(upper, lower, shallow=False)


def _attributes(before: os.stat_result, after: os.stat_result) -> str:
    changes = []
    if not stat.S_ISLNK(after.st_mode) and stat.S_IMODE(before.st_mode) != stat.S_IMODE(after.st_mode):
        changes.append(f"mode {stat.S_IMODE(before.st_mode):04o} to {stat.S_IMODE(after.st_mode):04o}")
    if (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid):
        changes.append(f"owner {before.st_uid}:{before.st_gid} to {after.st_uid}:{after.st_gid}")
    return ", ".join(changes)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(directory: str) -> bool:
    try:
        return os.getxattr(directory, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
