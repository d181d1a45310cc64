"""What identifies a tree's content for post.sh: a digest that leaves out what only people and forges read."""

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
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
    for path in sorted(items):
        if not _ignored(path, (*NO_NEW_TREE, *ignore)):
            item = items[path]
            digest.update(f"{item.entry.value:o} {item.oid} {path}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def demand_contents(manifest: Manifest, ignore: Sequence[str] = ()) -> None:
    """Refuse a revision in which Git LFS keeps files elsewhere: what would be placed is never what is meant.

    Where nothing is placed from (``ignore``), it does no harm: pictures of a document, say.

    Raises:
        RevisionRejected: it names the first such path.
    """
    path = next((path for path in sorted(manifest.pointers) if not _ignored(path, (*NO_NEW_TREE, *ignore))), None)
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
    for path in _walk(top):
        if _ignored(path, (*NO_NEW_TREE, *ignore)):
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


def _ignored(path: str, patterns: Sequence[str]) -> bool:
    names = path.split("/")
    for pattern in patterns:
        if pattern.endswith("/"):
            if path.startswith(pattern) or (pattern.count("/") == 1 and pattern[:-1] in names[:-1]):
                return True
        elif fnmatch.fnmatchcase(path if "/" in pattern else names[-1], pattern):
            return True
    return False
