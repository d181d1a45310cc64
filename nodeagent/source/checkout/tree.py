"""What identifies a tree's content for post.sh: a digest that leaves out what only people and forges read."""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from nodeagent.errors import RevisionRejected
from nodeagent.source.checkout.manifest import Item, Manifest
from nodeagent.source.foreign import one_line

NO_NEW_TREE = ("*.md", "LICENSE", ".git*", ".github/")
"""Paths whose change makes no step due, beside the configured ones. A pattern that ends in ``/`` is a directory; one
without a ``/`` inside is matched against each path's last name."""


def of_items(items: Mapping[str, Item], ignore: Sequence[str] = ()) -> str:
    """The digest of a revision's entries (hex)."""
    digest = hashlib.sha256()
    ignored = _ignoring((*NO_NEW_TREE, *ignore))
    for path in sorted(items):
        if not ignored(path):
            item = items[path]
            digest.update(f"{item.entry.value:o} {item.oid} {path}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def demand_contents(manifest: Manifest, ignore: Sequence[str] = ()) -> None:
    """Refuse a revision in which Git LFS keeps files elsewhere: what would be placed is never what is meant.

    Where nothing is placed from (``ignore``), it does no harm: pictures of a document, say.

    Raises:
        RevisionRejected: it names the first such path.
    """
    ignored = _ignoring((*NO_NEW_TREE, *ignore))
    path = next((path for path in sorted(manifest.pointers) if not ignored(path)), None)
    if path is not None:
        raise RevisionRejected(
            f"{one_line(os.fsencode(path))}: is a Git LFS pointer: the content is not in the repository, and is not "
            "fetched from elsewhere: commit the file itself (git lfs migrate export), or, if nothing is placed from "
            "there, name it in ignore"
        )


def of_directory(top: Path, ignore: Sequence[str] = ()) -> str:
    """The digest of a directory as it stands, without its ``.git`` (hex).

    Raises:
        OSError: something in it cannot be read.
    """
    digest = hashlib.sha256()
    ignored = _ignoring((*NO_NEW_TREE, *ignore))
    for path in _walk(top):
        if ignored(path):
            continue
        full = top / path
        found = full.lstat()
        digest.update(f"{found.st_mode:o} {path}\0".encode(errors="surrogateescape"))
        if stat.S_ISLNK(found.st_mode):
            digest.update(os.fsencode(os.readlink(full)))
        elif stat.S_ISREG(found.st_mode):
            with full.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _refuse(error: OSError) -> NoReturn:
    raise error  # os.walk would pass over the directory, and the tree would be another one


def _walk(top: Path) -> Iterator[str]:
    for directory, names, files in os.walk(top, onerror=_refuse):
        names[:] = sorted(name for name in names if name != ".git")
        above = Path(directory).relative_to(top)
        for name in sorted([*files, *(n for n in names if os.path.islink(os.path.join(directory, n)))]):
            yield str(above / name)


def _ignoring(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Tell of a path whether one of the patterns means it; asked of tens of thousands."""
    tops = tuple(pattern for pattern in patterns if pattern.endswith("/"))
    directories = frozenset(pattern[:-1] for pattern in tops if pattern.count("/") == 1)
    whole = _any(pattern for pattern in patterns if "/" in pattern and not pattern.endswith("/"))
    last = _any(pattern for pattern in patterns if "/" not in pattern)

    def ignored(path: str) -> bool:
        above, _, name = path.rpartition("/")
        inside = above and (path.startswith(tops) or not directories.isdisjoint(above.split("/")))
        return bool(inside or last(name) or whole(path))

    return ignored


def _any(patterns: Iterable[str]) -> Callable[[str], object]:
    """Match one of the patterns of :mod:`fnmatch`, upper and lower case told apart."""
    alternatives = [fnmatch.translate(pattern) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else r"(?!)").match
