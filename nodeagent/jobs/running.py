"""The programs that run on the node, as far as they tell of jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """``name`` is the kernel's name of the process (15 characters at most), ``argv`` its command line."""

    pid: int
    name: str
    argv: tuple[str, ...]


def programs(proc: Path = Path("/proc")) -> Iterator[Program]:
    """Every process that has a command line: no thread of the kernel, and none that has ended."""
    for directory in proc.iterdir():
        if not directory.name.isdigit():
            continue
        try:
            name = (directory / "comm").read_text(errors="replace").rstrip("\n")
            argv = (directory / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue  # it has ended meanwhile
        if argv != [""]:
            yield Program(pid=int(directory.name), name=name, argv=tuple(argv))
