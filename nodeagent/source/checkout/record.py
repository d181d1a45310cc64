"""The record of a checkout: what was placed where, and how ``lstat`` saw it. A JSON file that only root can read."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nodeagent.model.evaluation import Commit
from nodeagent.source.checkout.manifest import Entry, Item

SCHEMA = 1

# st_mode, st_uid, st_gid, st_size, st_mtime_ns, st_ctime_ns, st_ino: equal ones mean that nobody touched it
Identity = tuple[int, ...]


class Place(NamedTuple):
    """What was put at a path. ``whole`` is false when its content was changed and that was accepted (``settle``).

    A tuple, as is its item: a tree may have tens of thousands, and all are read in each cycle that evaluates.
    """

    item: Item
    identity: Identity | None  # None: nothing stands there, and that was accepted
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """``commit`` and ``tree`` are empty before the first install is complete; ``origin`` is who made the commit.

    ``directories`` has the top one as an empty path; it is empty while the checkout was never claimed. ``trees`` has
    the ids (hex) that git has for the others.
    """

    commit: str
    tree: str
    places: Mapping[str, Place]
    directories: Mapping[str, Identity | None]
    origin: Commit | None = None
    trees: Mapping[str, str] = field(default_factory=dict)


def identity(path: str) -> Identity | None:
    """How lstat sees the path; None when nothing stands there."""
    try:
        s = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)


def load(file: Path, checkout: Path) -> Record:
    """Read the record of this checkout; one that is missing, damaged or another checkout's is an empty one."""
    try:
        return _parse(json.loads(file.read_bytes()), checkout)
    except (OSError, ValueError, KeyError, TypeError):
        return Record(commit="", tree="", places={}, directories={})


def save(file: Path, checkout: Path, new: Record) -> None:
    """Write the record whole or not at all."""
    data = {
        "schema": SCHEMA,
        "checkout": str(checkout),
        "commit": new.commit,
        "tree": new.tree,
        "origin": None if new.origin is None else asdict(new.origin),
        "places": {name: _pack(place) for name, place in new.places.items()},
        "directories": new.directories,
        "trees": new.trees,
    }
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(json.dumps(data, separators=(",", ":")).encode("ascii"))  # json.dump takes six times as long
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_ENTRIES = {entry.name: entry for entry in Entry}


def _pack(place: Place) -> list[Any]:
    item = place.item
    return [item.entry.name, item.oid, item.size, item.target, place.identity, place.whole]


def _unpack(packed: list[Any]) -> Place:
    name, oid, size, target, seen, whole = packed
    return Place(Item(_ENTRIES[name], oid, size, target), _tuple(seen), whole)


def _tuple(packed: list[int] | None) -> Identity | None:
    return None if packed is None else tuple(packed)


def _parse(data: Any, checkout: Path) -> Record:
    if data["schema"] != SCHEMA or data["checkout"] != str(checkout):
        raise ValueError("another schema, or another checkout's")
    return Record(
        commit=data["commit"],
        tree=data["tree"],
        origin=Commit(**data["origin"]) if data.get("origin") else None,
        places={name: _unpack(packed) for name, packed in data["places"].items()},
        directories={name: _tuple(packed) for name, packed in data["directories"].items()},
        trees=data.get("trees", {}),
    )
