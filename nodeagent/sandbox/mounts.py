"""What is mounted on the node, and what becomes of each mount inside. Pure functions of ``/proc/self/mountinfo``."""

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPLACED = ("/proc", "/sys", "/dev", "/run")
"""Inside there are private ones; nothing of the node's is seen below them."""

LOCAL = frozenset({
    "bcachefs", "btrfs", "cramfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "iso9660", "jfs",
    "msdos", "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "ufs", "vfat",
    "xfs", "zfs",
})  # fmt: skip
"""Whatever is none of these may ask a server or a daemon for each file, or mount something when it is looked at."""


class Treatment(enum.Enum):
    OVERLAID = "overlaid"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """One line of mountinfo. ``kind`` is the file system's type, ``options`` those of mount and file system."""

    number: int
    parent: int
    path: str
    kind: str
    options: frozenset[str]

    @property
    def treatment(self) -> Treatment:
        local = self.path == "/" or self.kind in LOCAL  # a root on NFS is read as any other
        return Treatment.OVERLAID if local else Treatment.ABSENT


def parse(mountinfo: bytes) -> Iterator[MountPoint]:
    """The mounts in the order in which they were made (format: proc(5))."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(b" - ")
        number, parent, _, _, path, options, *_ = left.split(b" ")
        kind, _, more = right.split(b" ", 2)
        words = {word.decode(errors="replace") for word in (*options.split(b","), *more.split(b","))}
        yield MountPoint(
            number=int(number), parent=int(parent), path=_unescaped(path), kind=kind.decode(), options=frozenset(words)
        )


def _unescaped(path: bytes) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), path)
    return raw.decode("utf-8", "surrogateescape")


def shown(table: Sequence[MountPoint]) -> list[MountPoint]:
    """The mounts to be made inside, parents first: those that can be seen, outside of what is replaced and absent."""
    found: list[MountPoint] = []
    visible: set[int] = set()
    gone: list[str] = list(REPLACED)
    numbers = {entry.number for entry in table}
    for entry in table:
        if entry.parent not in numbers | {entry.number} or entry.path == "/":
            visible.add(entry.number)  # the top: its parent lies outside of this root
        elif entry.parent in visible and not _is_covered(entry, table):
            visible.add(entry.number)
        if entry.number not in visible or any(is_below(entry.path, top) for top in gone):
            continue
        if any(other.parent == entry.number and other.path == entry.path for other in table):
            continue  # another one is mounted right on top of it
        if entry.treatment is Treatment.ABSENT:
            gone.append(entry.path)
        found.append(entry)
    return found


def is_below(path: str, top: str) -> bool:
    """Whether the path is the directory or lies below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def _is_covered(entry: MountPoint, table: Sequence[MountPoint]) -> bool:
    """Whether something was mounted later on a directory above it: only a sibling's path can be shorter."""
    siblings = (other for other in table if other.parent == entry.parent and other.number != entry.number)
    return any(is_below(entry.path, other.path) and other.path != entry.path for other in siblings)
