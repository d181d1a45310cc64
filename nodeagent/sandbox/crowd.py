"""A limit for the number of processes inside, which no limit of a user keeps: the kernel exempts root from those.

Where a control group can be made, fork(2) fails inside at the limit. Everywhere, whoever counts that many ends all:
:func:`count` is asked again and again.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nodeagent.sandbox.mounts import parse

LIMIT = 1000
_MARGIN = 100  # the control group stops a flood; it is the count that notices it
_NAME = "nodeagent-plan-"


def count(first: int) -> int:
    """How many processes the PID namespace has whose first process has that pid, by its own ``/proc``."""
    try:
        return sum(name.isdigit() for name in os.listdir(f"/proc/{first}/root/proc"))
    except OSError:  # it has not come that far yet, or has ended
        return 0


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let this process, and what it forks in the block, be in a control group that takes no more than the limit.

    Nothing happens where no control group can be made: one that systemd has not delegated takes no processes of ours.
    """
    made = next(filter(None, map(_join_new, _own_groups())), None)
    if made is None:
        yield
        return
    # By descriptor: what the block mounts may hide the paths.
    home = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
    finally:
        back = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=home)
        os.write(back, b"0")
        os.close(back)
        with contextlib.suppress(OSError):  # a process of it is still ending: the next plan removes it
            os.rmdir(made.name, dir_fd=home)
        os.close(home)


def _own_groups() -> Iterator[Path]:
    """The directories of this process's own groups that may count processes (cgroups(7))."""
    mounts = list(parse(Path("/proc/self/mountinfo").read_bytes()))
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            tops = [m.path for m in mounts if m.kind == "cgroup" and "pids" in m.options]
        elif not controllers:
            tops = [m.path for m in mounts if m.kind == "cgroup2"]
        else:
            continue
        yield from (Path(top + path) for top in tops)


def _join_new(own: Path) -> Path | None:
    """Make a group below this one and move there; None where the kernel refuses."""
    for left in own.glob(f"{_NAME}*"):
        with contextlib.suppress(OSError):  # in use
            left.rmdir()
    group = own / f"{_NAME}{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        (group / "pids.max").write_text(f"{LIMIT + _MARGIN}\n")
        (group / "cgroup.procs").write_text("0")
    except OSError:
        group.rmdir()
        return None
    return group
