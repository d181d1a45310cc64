"""Git's own objects, as far as the root side has to understand them: commits and trees, never packs.

Formats: git's Documentation/gitformat-pack and ``git cat-file``: an object's id is the SHA-1 of
``KIND SP LENGTH NUL CONTENT``. A tree's content is a row of ``MODE SP NAME NUL ID``; a commit's begins with
``tree HEX LF`` and ``parent HEX LF`` lines.
"""

import enum
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.model.evaluation import Commit

ID_BYTES = 20
LONGEST_POINTER = 1024  # bytes; of Git LFS, not included
LONGEST_NAME = 255  # bytes; NAME_MAX of every Linux file system that matters

_HEX = re.compile(rb"[0-9a-f]{40}")
_MODE = re.compile(rb"[0-7]{5,7}")
_AUTHOR = re.compile(rb"^author (.*>) ([0-9]{1,11}) [+-][0-9]{4}$", re.MULTILINE)
_COMMITTER = re.compile(rb"^committer .*> ([0-9]{1,11}) [+-][0-9]{4}$", re.MULTILINE)
_LONGEST_SHOWN = 200  # characters of an author or a subject
# What HFS+ leaves out when it compares names, in UTF-8 (git's next_hfs_char).
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


class MalformedError(ValueError):
    """The object is not what git writes."""


class Kind(enum.StrEnum):
    """What an object is, as it stands in the header that its id is computed with."""

    COMMIT = "commit"
    TREE = "tree"
    BLOB = "blob"
    TAG = "tag"


class Mode(enum.Enum):
    """What an entry of a tree is; git keeps no more of a file's mode than the execute bit."""

    DIRECTORY = 0o040000
    FILE = 0o100644
    EXECUTABLE = 0o100755
    LINK = 0o120000
    SUBMODULE = 0o160000


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    mode: Mode
    name: bytes
    oid: str  # hex


def hasher(kind: Kind, length: int) -> "hashlib._Hash":
    """A SHA-1 that has taken the header in, and waits for the content."""
    return hashlib.sha1(f"{kind} {length}\0".encode(), usedforsecurity=False)


def object_id(kind: Kind, content: bytes) -> str:
    """The id (hex) of an object."""
    digest = hasher(kind, len(content))
    digest.update(content)
    return digest.hexdigest()


def commit_tree(content: bytes) -> str:
    """The id of the tree that a commit has.

    Raises:
        MalformedError: the commit does not begin with one.
    """
    return _id_after(b"tree ", content.partition(b"\n")[0])


def commit_parents(content: bytes) -> Sequence[str]:
    """The ids of a commit's parents, in their order.

    Raises:
        MalformedError: a parent is no id.
    """
    lines = itertools.takewhile(lambda line: line.startswith(b"parent "), content.split(b"\n")[1:])
    return [_id_after(b"parent ", line) for line in lines]


def commit_origin(content: bytes) -> Commit:
    """Who made a commit, when, and its first line. Only for people to read: what git did not write so is left empty."""
    head, _, message = content.partition(b"\n\n")
    found = _AUTHOR.search(head)
    subject = message.lstrip(b"\n").partition(b"\n")[0]
    return Commit(
        author=_readable(found[1]) if found else "",
        authored=int(found[2]) if found else 0,
        subject=_readable(subject),
    )


def commit_date(content: bytes) -> int:
    """When a commit was committed, in seconds since the epoch.

    Raises:
        MalformedError: it does not say.
    """
    found = _COMMITTER.search(content.partition(b"\n\n")[0])
    if found is None:
        raise MalformedError("a commit without the date of its committer")
    return int(found[1])


def tree_entries(content: bytes) -> Sequence[TreeEntry]:
    """Take a tree apart.

    Raises:
        MalformedError: it is cut off, has an unknown mode, the same name twice, or another order than git's.
    """
    entries: dict[bytes, TreeEntry] = {}
    at, before = 0, b""
    while at < len(content):
        mode, space, _ = content[at : at + 8].partition(b" ")
        start = at + len(mode) + 1
        end = content.find(b"\0", start)
        at = end + 1 + ID_BYTES
        if not space or end < 0 or at > len(content):
            raise MalformedError("a tree is cut off")
        name = content[start:end]
        if name in entries:
            raise MalformedError(f"a tree has the name {name!r} twice")
        entry = entries[name] = TreeEntry(mode=_mode(mode), name=name, oid=content[end + 1 : at].hex())
        place = name + b"/" if entry.mode is Mode.DIRECTORY else name
        if place < before:
            raise MalformedError(f"a tree whose names are not in git's order, from {name!r} on")
        before = place
    return list(entries.values())


def forbidden(name: bytes) -> str | None:
    """Why a name may not stand in a tree, or None: as git's ``verify_path`` with protectNTFS and protectHFS."""
    if not name:
        return "an empty name"
    if name in (b".", b".."):
        return f"the name {name.decode()!r}"
    if b"/" in name:
        return "a slash in a name"
    if len(name) > LONGEST_NAME:
        return f"a name of more than {LONGEST_NAME} bytes"
    if _is_dot_git(name):
        return "a name that git keeps for itself"
    return None


def is_lfs_pointer(content: bytes) -> bool:
    """Whether a blob is what Git LFS leaves in a repository in place of a file (git-lfs's docs/spec.md): lines that
    begin with a version, with the content's hash and size behind it."""
    return (
        len(content) < LONGEST_POINTER
        and content.startswith(b"version https://git-lfs.github.com/spec/")
        and b"\noid sha256:" in content
        and b"\nsize " in content
    )


def _id_after(word: bytes, line: bytes) -> str:
    if not line.startswith(word) or not _HEX.fullmatch(line, len(word)):
        raise MalformedError(f"a commit's {word.decode().strip()} is no SHA-1 id")
    return line[len(word) :].decode()


def _readable(text: bytes) -> str:
    """Without what a terminal would take for a command, and not endless."""
    decoded = text.decode(errors="replace").strip()[:_LONGEST_SHOWN]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in decoded)


def _mode(text: bytes) -> Mode:
    if not _MODE.fullmatch(text):
        raise MalformedError(f"the mode {text!r}")
    number = int(text, 8)
    if number == 0o100664:  # written by git before 1.0; a file
        return Mode.FILE
    try:
        return Mode(number)
    except ValueError as error:
        raise MalformedError(f"the mode {text.decode()}") from error


def _is_dot_git(name: bytes) -> bool:
    """Tell whether some file system takes the name for ``.git``."""
    if name.isascii() and b"git" not in name.lower():
        return False
    hfs = _IGNORED_BY_HFS.sub("", name.decode("utf-8", "replace")).casefold()
    # NTFS: a backslash separates, ":" begins a stream, trailing spaces and dots do not count, git~1 is the short name.
    parts = name.decode("latin-1").casefold().split("\\")
    ntfs = any(part.split(":", 1)[0].rstrip(" .") in (".git", "git~1") for part in parts)
    return ntfs or hfs == ".git"
