"""What a revision consists of: one entry for each path of its tree."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nodeagent.model.evaluation import Commit


class Entry(enum.Enum):
    """What stands at a path of a checkout."""

    FILE = 0o644
    EXECUTABLE = 0o755
    LINK = 0o777


class Item(NamedTuple):
    """One path's content. ``oid`` is the git blob id (hex); ``target`` is a link's, else empty. ``size`` in bytes."""

    entry: Entry
    oid: str
    size: int
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A revision that was verified: commit and tree id (hex), and what its tree holds by path, ``/`` between names.

    ``directories``: the id of the tree of each directory but the top. ``pointers``: the paths of files that are only
    Git LFS's word for one, of those handed over now.
    """

    commit: str
    tree: str
    items: Mapping[str, Item]
    origin: Commit | None = None
    pointers: Sequence[str] = ()
    directories: Mapping[str, str] = field(default_factory=dict)


def parents(path: str) -> Iterator[str]:
    """The directories above a relative path, nearest first, without the top."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
