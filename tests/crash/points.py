"""The points: every system call of an undisturbed run that changes a filesystem, or makes a change last."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CALLS = (
    "open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice", "ioctl",
    "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range",
    "chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat", "utimensat", "utime", "utimes", "futimesat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "flock",
)  # fmt: skip
TRACE = "trace=" + ",".join(f"?{name}" for name in CALLS)

_LINE = re.compile(r"(\w+)\((.*)\)\s+= (.*)$")
_NO_FILE = re.compile(r"\d+<(pipe|socket|anon_inode|/memfd|/dev/)")
_FIFO = re.compile(r"\d+<[^>]*/(request|answer)>")
_MAKING = re.compile(r"O_CREAT|O_TRUNC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The ``number``-th call of ``call`` in the agent's run; ``arguments`` are strace's words for it."""

    call: str
    number: int
    arguments: str

    def __str__(self) -> str:
        return f"{self.call} #{self.number} ({self.arguments})"

    @property
    def of_file(self) -> bool:
        """Whether it is about something that a disk could refuse."""
        return self.call != "flock" and not _FIFO.search(self.arguments)


def points(lines: Sequence[str]) -> Iterator[Point]:
    """The points of a probe: strace's lines of an undisturbed run."""
    seen: Counter[str] = Counter()
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        call, arguments, result = found.groups()
        seen[call] += 1
        if call == "ioctl" and "FICLONE" not in arguments:
            continue
        if call in {"open", "openat"} and not _MAKING.search(arguments):
            continue
        if _NO_FILE.match(arguments) or result.startswith("-1 E"):
            continue
        yield Point(call=call, number=seen[call], arguments=arguments)


def sample(every: Sequence[Point], size: int, salt: int = 0) -> list[Point]:
    """Points spread evenly over each system call: the same ones each time, each call at least once.

    Another ``salt`` (0 to 6) gives other ones.
    """
    chosen: list[Point] = []
    for call in dict.fromkeys(point.call for point in every):
        of_it = [point for point in every if point.call == call]
        wanted = max(1, round(size * len(of_it) / len(every)))
        step = len(of_it) / wanted
        chosen += [of_it[int((n + (salt % 7) / 7) * step)] for n in range(min(wanted, len(of_it)))]
    return chosen
