"""A throw-away machine in which a command may do its worst, and whether anything of the machine was touched.

``python -m testbed.witness COMMAND...`` enters namespaces of its own over an overlay of ``/`` with a private ``/dev``,
makes a second file system, a disk and sockets that belong to the machine, runs the command, and prints as JSON how it
ended and what is not as it was. Control groups are seen there if ``WITNESS_CGROUPS`` is set.
"""

import json
import os
import socket
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import snapshot
from testbed.programs import run

INSIDE = "NODEAGENT_WITNESS"
TOPS = ("/etc", "/dev", "/opt", "/srv", "/home", "/run", "/usr/sbin", "/boot")
SOCKETS = ("/srv/second/socket", "/srv/socket", "\0nodeagent-witness")

_BUILD = """
mount --make-rprivate /
mount -t tmpfs -o size=2g,mode=0755 witness /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ "$WITNESS_CGROUPS" ]; then mount --rbind /sys/fs/cgroup sys/fs/cgroup; fi
mount -t tmpfs -o mode=0755 dev dev
for name in null zero full random urandom tty; do : >dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=0755 run run
echo data >dev/disk
mkdir -p srv/second old
mount -t tmpfs -o mode=0755 second srv/second
mkdir srv/second/directory
echo data >srv/second/directory/file
pivot_root . old
umount -l old
rmdir old
"""


def main(command: Sequence[str]) -> None:
    if os.environ.pop(INSIDE, None) is None:
        os.environ[INSIDE] = "1"
        namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc")
        os.execvp("unshare", ["unshare", *namespaces, sys.executable, "-m", "testbed.witness", *command])
    here = Path.cwd()
    run(["sh", "-ec", _BUILD])
    os.chroot("/")  # of the new root: this process is still in the old one's directory
    os.chdir(here)
    daemon = subprocess.Popen(["sleep", "infinity"])
    with _served() as connections:
        before = snapshot.take(TOPS)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=100)
        after = snapshot.take(TOPS)
    if daemon.poll() is not None:
        after["process daemon"] = "ended"
    names = sorted(before.keys() | after.keys())
    json.dump(
        {
            "status": done.returncode,
            "stdout": done.stdout,
            "stderr": done.stderr,
            "connections": connections,
            "touched": [f"{n}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)],
        },
        sys.stdout,
    )
    daemon.kill()


@contextmanager
def _served() -> Iterator[list[str]]:
    """Listen on the sockets; gives the names of those that somebody connected to."""
    reached: list[str] = []
    servers = []
    for name in SOCKETS:
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        server.listen()
        servers.append(server)

        def accept(server: socket.socket = server, name: str = name) -> None:
            while True:
                server.accept()
                reached.append(name)

        threading.Thread(target=accept, daemon=True).start()
    yield reached


if __name__ == "__main__":
    main(sys.argv[1:])
