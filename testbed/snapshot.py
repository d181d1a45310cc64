"""What of a machine a plan must leave as it is: files, mounts, network, processes, kernel settings, host name.

``python3 snapshot.py [TOP...]`` prints it as JSON; it needs nothing but Python, so that any machine can run it.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

VOLATILE = re.compile(
    "/(random|uuid|boot_id|ns_last_pid|dentry-state|file-nr|inode-nr|inode-state|aio-nr|nr|dirty_.*|entropy_avail"
    "|nf_conntrack_count|sched_domain|syncs|pagetypeinfo|hung_task_detect_count|.*_count)(/|$)"
)


def take(tops: Iterable[str]) -> dict[str, str]:
    """One line for each thing, by its name."""
    return {
        **dict(_files(tops)),
        **{f"mount {n}": line for n, line in enumerate(Path("/proc/self/mountinfo").read_text().splitlines())},
        **{f"network {name}": line for name, line in _network()},
        **{f"process {pid}": command for pid, command in _processes()},
        **{f"sysctl {name}": value for name, value in _settings()},
        "host name": os.uname().nodename,
    }


def _files(tops: Iterable[str]) -> Iterator[tuple[str, str]]:
    for top in tops:
        for directory, names, files in os.walk(top):
            for name in (".", *names, *files):
                path = os.path.normpath(os.path.join(directory, name))
                s = os.lstat(path)
                # Whatever is done to a file changes its ctime; so does, to a device, whoever else writes to it.
                changed = 0 if stat.S_ISCHR(s.st_mode) else s.st_ctime_ns
                yield f"file {path}", f"{s.st_mode:o} {s.st_uid}:{s.st_gid} {s.st_size} {s.st_ino} {changed}"


def _network() -> Iterator[tuple[str, str]]:
    for name in ("dev", "route", "ipv6_route", "if_inet6"):
        path = Path("/proc/net", name)
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            if name == "dev":
                yield f"dev {words[0]}", ""  # the rest are counters
            elif name == "ipv6_route":
                yield f"{name} {words[:6]} {words[8:]}", ""  # between them stands how often it is in use
            else:
                yield f"{name} {line}", ""


def _processes() -> Iterator[tuple[str, str]]:
    own = {str(os.getpid()), str(os.getppid())}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid not in own:
            try:
                line = Path("/proc", pid, "stat").read_text()
            except OSError:
                continue
            yield pid, line[line.index("(") + 1 : line.rindex(")")]


def _settings() -> Iterator[tuple[str, str]]:
    for directory, _, names in os.walk("/proc/sys"):
        for name in names:
            path = os.path.join(directory, name)
            if VOLATILE.search(path):
                continue
            try:
                yield path, Path(path).read_text(errors="replace")
            except OSError:
                continue  # only to be written


if __name__ == "__main__":
    json.dump(take(sys.argv[1:]), sys.stdout)
