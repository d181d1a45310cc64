"""A repository as values: what lint knows of it, read once."""

import enum
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    FILE = enum.auto()
    DIRECTORY = enum.auto()
    LINK = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``content`` is None for what is no file, and for a file that was not read (too long, or not readable)."""

    kind: Kind
    executable: bool = False
    content: bytes | None = None
    target: str = ""


_LINKS_LIMIT = 40  # as the kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """``entries`` by path relative to the repository; names that are no UTF-8 hold surrogates (``os.fsdecode``)."""

    entries: Mapping[str, Entry]
    truncated: bool = False
    _below: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for path in self.entries:
            self._below.setdefault(posixpath.dirname(path), []).append(path)

    def resolve(self, path: str) -> str | None:
        """The path behind all links, or None if it leads out of the tree or to nothing. ``""`` is the top."""
        todo, here, links = path.split("/"), "", 0
        todo.reverse()
        while todo:
            part = todo.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if not here:
                    return None
                here = posixpath.dirname(here)
                continue
            here = posixpath.join(here, part)
            entry = self.entries.get(here)
            if entry is None:
                return None
            if entry.kind is Kind.LINK:
                links += 1
                if links > _LINKS_LIMIT or entry.target.startswith("/"):
                    return None
                here = posixpath.dirname(here)
                todo.extend(reversed(entry.target.split("/")))
        return here

    def file(self, path: str) -> tuple[str, Entry] | None:
        """The regular file at the path, through links, with its own path."""
        found = self.resolve(path)
        entry = self.entries.get(found) if found else None
        return (found, entry) if found and entry is not None and entry.kind is Kind.FILE else None

    def is_directory(self, path: str) -> bool:
        found = self.resolve(path)
        return found == "" or (found is not None and self.entries[found].kind is Kind.DIRECTORY)

    def exists(self, path: str) -> bool:
        """Is there anything, be it a link that leads nowhere?"""
        if path in self.entries:
            return True
        parent = self.resolve(posixpath.dirname(path))
        return parent is not None and (posixpath.join(parent, posixpath.basename(path)) in self.entries or path == "")

    def below(self, path: str) -> Iterator[tuple[str, Entry]]:
        """All that a directory holds, at any depth; in no order."""
        stack = [path]
        while stack:
            for child in self._below.get(stack.pop(), ()):
                yield child, self.entries[child]
                stack.append(child)
