"""A directory on disk as a :class:`~nodeagent.lint.tree.Tree`; nothing in it is followed, opened for long or run."""

import os
import stat
from pathlib import Path

from nodeagent.errors import InvalidConfiguration, PostScriptMissing
from nodeagent.lint.tree import Entry, Kind, Tree

ENTRY = "post.sh"
_LONGEST_FILE = 2**20  # bytes; no script is longer, and no secret is looked for in what is
_LONGEST_TREE = 256 * 2**20  # bytes read in all
_MOST_ENTRIES = 100_000
_NOT_READ = {".git"}


def read(directory: Path) -> Tree:
    """Read a repository.

    Raises:
        InvalidConfiguration: there is no such directory, or it cannot be read.
        PostScriptMissing: it has no post.sh.
    """
    entries: dict[str, Entry] = {}
    left = _LONGEST_TREE
    stack = [""]
    while stack and len(entries) < _MOST_ENTRIES:
        below = stack.pop()
        try:
            with os.scandir(os.path.join(directory, below)) as found:
                children = sorted(found, key=lambda child: child.name)
        except OSError as error:
            if below:
                continue  # unreadable, or deeper than a path can be: what is in it stays unknown
            raise InvalidConfiguration(
                f"{directory}: cannot be read: {error.strerror}: name the directory of a repository"
            ) from error
        for child in children:
            path = f"{below}/{child.name}" if below else child.name
            if path in _NOT_READ:
                continue
            entries[path] = entry = _entry(child, left)
            left -= len(entry.content or b"")
            if entry.kind is Kind.DIRECTORY:
                stack.append(path)
    tree = Tree(entries=entries, truncated=bool(stack))
    if ENTRY not in entries:
        raise PostScriptMissing(f"{directory}: has no {ENTRY}: name the top of a repository, or begin one with init")
    if tree.file(ENTRY) is None:
        raise PostScriptMissing(f"{directory}: its {ENTRY} is no file of the repository: put the program itself there")
    return tree


def _entry(child: "os.DirEntry[str]", left: int) -> Entry:
    try:
        status = child.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return Entry(kind=Kind.LINK, target=os.readlink(child.path))
    except OSError:
        return Entry(kind=Kind.OTHER)
    if stat.S_ISDIR(status.st_mode):
        return Entry(kind=Kind.DIRECTORY)
    if not stat.S_ISREG(status.st_mode):
        return Entry(kind=Kind.OTHER)
    content = _content(child.path) if status.st_size <= min(_LONGEST_FILE, left) else None
    return Entry(kind=Kind.FILE, executable=bool(status.st_mode & stat.S_IXUSR), content=content)


def _content(path: str) -> bytes | None:
    """What the file holds, unless it has become something else, or longer, since it was looked at."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        try:
            content = file.read(_LONGEST_FILE + 1)
        except OSError:
            return None
    return content if len(content) <= _LONGEST_FILE else None
