"""The directories of a checkout that a hand-over need not go into: git's trees and what stands there are the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from nodeagent.source.checkout.manifest import Item, parents


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What is below a known tree, each path relative to it: its files and links, and its directories with their ids.

    ``at`` is a directory of the checkout that has this tree.
    """

    at: str
    items: Mapping[str, Item]
    directories: Mapping[str, str]


class Known:
    """Trees by their ids (hex)."""

    def __init__(
        self,
        directories: Mapping[str, str] | None = None,
        items: Mapping[str, Item] | None = None,
        harmed: Iterable[str] = (),
    ) -> None:
        """Args:
        directories: the id of the tree of each directory of the checkout but the top.
        items: what was placed in the checkout.
        harmed: the paths at which it does not stand any more.
        """
        lost = {directory for path in harmed for directory in parents(path)}
        self._directories = directories or {}
        self._at = {oid: path for path, oid in self._directories.items() if path not in lost}
        self._files: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._inner: defaultdict[str, list[str]] = defaultdict(list)
        if self._at and items:
            for path, item in items.items():
                directory, _, name = path.rpartition("/")
                self._files[directory][name] = item
        for path in self._directories if self._at else ():
            self._inner[path.rpartition("/")[0]].append(path)

    @property
    def ids(self) -> Set[str]:
        return self._at.keys()

    def __contains__(self, oid: str) -> bool:
        return oid in self._at

    def below(self, oid: str) -> Below:
        """All that a known tree holds."""
        top = self._at[oid]
        items: dict[str, Item] = {}
        directories: dict[str, str] = {}
        pending = [top]
        while pending:
            path = pending.pop()
            prefix = "" if path == top else path[len(top) + 1 :] + "/"
            items |= {prefix + name: item for name, item in self._files[path].items()}
            for inner in self._inner[path]:
                directories[inner[len(top) + 1 :]] = self._directories[inner]
                pending.append(inner)
        return Below(at=top, items=items, directories=directories)


NOTHING = Known()
