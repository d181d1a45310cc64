"""Who else may have put a thing there: what the node itself says of a path that is not nodeagent's."""

import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from nodeagent.apply import process

_PATIENCE = 10.0  # seconds for a package manager's answer
_ASK = (("dpkg-query", "--search"), ("rpm", "--query", "--file", "--queryformat", "%{NAME}\\n"))
_ESCAPED = re.compile(r"\\([0-7]{3})")  # how mountinfo writes blanks (proc_pid_mountinfo(5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    point: str
    kind: str
    source: str


def package_of(path: str) -> str | None:
    """The package that owns a path, if a package manager knows one."""
    for command in _ASK:
        answer = process.ask([*command, path], time_limit=_PATIENCE)
        if answer:
            return answer.splitlines()[0].removesuffix(f": {path}")
    return None


def mount_of(path: str) -> Mount | None:
    """The mount that a path lies below; of several at one point, the last, which hides the others."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), head.split(" ")[4])
        below = path == point or path.startswith(point.rstrip("/") + "/")
        if below and (found is None or len(point) >= len(found.point)):
            kind, source, *_ = tail.split(" ")
            found = Mount(point=point, kind=kind, source=source)
    return found


def owner_of(found: os.stat_result) -> str:
    """``NAME 0644``: the owner, by name where there is one, and the mode."""
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        name = str(found.st_uid)
    return f"{name}, mode {stat.S_IMODE(found.st_mode):04o}"
