"""Two identical private copies of this machine's files, to run a program in each and compare what it left.

Each copy is an overlay of ``/`` with a tmpfs on top, in mount and process-id namespaces of its own: what else runs on
the machine (another test's scheduler daemon) is not there. Commands that would act beyond the files are replaced by
stubs that note how they were called. The machine itself is not touched.
"""

import json
import os
import shlex
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
STUBS = ("systemctl", "sysctl", "update-ca-trust", "logger", "mount", "useradd", "restorecon")

_ENTER = r"""
set -e
layer=$1 program=$2 start=$3; shift 3
mount -t tmpfs -o mode=0755 tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/root"
mount -t overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root"
root=$layer/root
for d in dev sys; do mount --rbind "/$d" "$root/$d"; done
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir "$root/stubs" "$root/run/layer"
for c in %(stubs)s; do
  printf '#!/bin/sh\necho "%%s $*" >>/run/stubs\n' "$c" >"$root/stubs/$c"; chmod 755 "$root/stubs/$c"
done
cp -R "$program" "$root/repo"; chmod 755 "$root/repo"; chown -R 0:0 "$root/repo"
rm -rf "$root/root/.ssh"; mkdir -m 700 "$root/root/.ssh"
[ -z "$start" ] || cp -a "$start/." "$root/"
mount --bind "$layer/upper" "$root/run/layer"
PATH=/stubs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/root LC_ALL=C.UTF-8
exec chroot "$root" "$@"
"""

_SNAPSHOT = r"""
import hashlib, json, os, stat
found = {}
for top, directories, files in os.walk(b"/run/layer"):
    for name in directories + files:
        path = os.path.join(top, name)
        entry = os.lstat(path)
        if stat.S_ISREG(entry.st_mode):
            content = hashlib.sha256(open(path, "rb").read()).hexdigest()
        else:
            content = os.fsdecode(os.readlink(path)) if stat.S_ISLNK(entry.st_mode) else ""
        shown = [oct(entry.st_mode), entry.st_uid, entry.st_gid, content]
        found[os.fsdecode(path.removeprefix(b"/run/layer"))] = shown
stubs = open("/run/stubs").read() if os.path.exists("/run/stubs") else ""
print("\0" + json.dumps({"tree": found, "stubs": stubs}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a program left: ``tree`` maps a changed path to mode, owner, group, and content digest or link target."""

    tree: dict[str, list[object]]
    stubs: list[str]
    output: str
    status: int


def run(layer: Path, repository: Path, command: str, *, start: Path | None = None) -> Left:
    """Run a shell command line in a new copy, where the repository stands at ``/repo``."""
    layer.mkdir()
    inside = f"cd /; ({command}); status=$?; {shlex.quote(sys.executable)} -c {shlex.quote(_SNAPSHOT)}; exit $status"
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    enter = ["sh", "-c", _ENTER % {"stubs": " ".join(STUBS)}, "sh"]
    done = subprocess.run(
        [*words, *enter, str(layer), str(repository), str(start or ""), "sh", "-c", inside],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="surrogateescape",
        timeout=50,
        check=False,
    )
    output, zero, snapshot = done.stdout.rpartition("\0")
    if not zero:
        raise RuntimeError(f"the copy could not be made or read:\n{done.stdout}")
    found = json.loads(snapshot)
    tree = {
        path: entry for path, entry in found["tree"].items() if not path.startswith(("/var/lib/nodeagent", "/stubs"))
    }
    return Left(tree=tree, stubs=found["stubs"].splitlines(), output=output, status=done.returncode)


def nodeagent(*words: str) -> str:
    """The command line that starts nodeagent in a copy."""
    return shlex.join([sys.executable, "-m", "nodeagent", *words])
