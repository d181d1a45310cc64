"""Control groups of a test machine's own: two machines must not meet in one, and none may stay behind."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from testbed.programs import wait_until

MOUNT = Path("/sys/fs/cgroup")


def make(name: str) -> list[Path]:
    """Make a group below this process's own, in each hierarchy that systemd uses to follow processes."""
    groups = [parent / name for parent in _own_groups()]
    for group in groups:
        group.mkdir()
    return groups


def remove(groups: list[Path]) -> None:
    """Remove groups with all below them, when their last process, which has been killed, is gone."""
    for group in groups:
        wait_until(f"{group} is empty", partial(_removed, group))


def _own_groups() -> Iterator[Path]:
    """From lines ``0::/path``, the unified hierarchy, and, on a machine with both, ``1:name=systemd:/path``."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            hierarchy = MOUNT / "unified" if (MOUNT / "unified").is_dir() else MOUNT
        elif controllers == "name=systemd":
            hierarchy = MOUNT / "systemd"
        else:
            continue
        yield hierarchy / path.lstrip("/")


def _removed(group: Path) -> bool:
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # still in use: the caller asks again
            Path(directory).rmdir()
    return not group.exists()
