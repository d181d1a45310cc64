"""What COPY is to place: the entries of one directory, gathered from one or several sources."""

import contextlib
import os
import stat
from dataclasses import dataclass, field

from nodeagent.apply.filters import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something to be copied: its name in an open directory (or a path, then ``dir_fd`` is None) and its lstat."""

    name: str
    dir_fd: int | None
    stat: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to stand in one destination directory.

    ``entries``: for each name its sources, the first of which counts (rsync's rule), but a directory goes before
    other things, and several directories become one. ``roots``: the directories whose contents these are.
    """

    entries: dict[str, list[Source]] = field(default_factory=dict)
    roots: list[os.stat_result] = field(default_factory=list)

    def add(self, name: str, source: Source) -> None:
        self.entries.setdefault(name, []).append(source)

    def add_entries(
        self,
        path: str,
        dir_fd: int | None,
        opened: contextlib.ExitStack,
        *,
        rules: Rules,
        prefix: str,
        follow: bool = False,
    ) -> None:
        """Add the entries of a source directory, which stays open until ``opened`` is closed.

        What the rules leave out is not added; ``prefix`` is what they see in front of each name.

        Raises:
            OSError: it cannot be read, or has become a link where ``follow`` is not set.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        fd = os.open(path, flags, dir_fd=dir_fd)
        opened.callback(os.close, fd)
        with os.scandir(fd) as entries:
            for entry in entries:
                if rules.leave_out(prefix + entry.name, is_directory=entry.is_dir(follow_symlinks=False)):
                    continue
                self.add(entry.name, Source(name=entry.name, dir_fd=fd, stat=entry.stat(follow_symlinks=False)))

    def is_single(self, rules: Rules) -> bool:
        """Whether all there is to copy is one thing, which may get another name: one file, or one empty directory.

        As in rsync, one that is named twice counts as two, and a directory that cannot be read as empty.
        """
        if len(self.roots) + sum(map(len, self.entries.values())) > 1:
            return False
        for name, (source,) in self.entries.items():
            if source.is_directory:
                with contextlib.suppress(OSError), os.scandir(source.name) as entries:
                    return all(
                        rules.leave_out(f"{name}/{entry.name}", is_directory=entry.is_dir(follow_symlinks=False))
                        for entry in entries
                    )
        return True

    def has_directory(self) -> bool:
        return bool(self.roots) or any(source.is_directory for sources in self.entries.values() for source in sources)

    def in_order(self) -> list[tuple[str, list[Source]]]:
        """Files first, then directories; each by name."""

        def key(entry: tuple[str, list[Source]]) -> tuple[bool, bytes]:
            name, sources = entry
            return any(source.is_directory for source in sources), name.encode(errors="surrogateescape")

        return sorted(self.entries.items(), key=key)
