"""A small root to run a program in: what stands in it before, and what is found in it afterwards."""

import ctypes
import os
import stat
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROJECT = Path(__file__).resolve().parents[2]
REPOSITORY = "/configs"
SCRIPT = f"{REPOSITORY}/post.sh"
LOGGED, STUBBED = "/run/logged", "/run/stubbed"

# What would act beyond the files, or would say something else each time, only notes how it was called.
STUBS = ("systemctl", "sysctl", "useradd", "mount", "update-ca-trust", "restorecon", "reboot")
_STUB = f'#!/bin/sh\necho "${{0##*/}} $*" >>{STUBBED}\n'
# Without fork, so that it may be called in any place that a built-in may be.
_LOGGER = f"""#!/bin/sh
tag=root
while :; do case $1 in -t) tag=$2; shift 2 ;; -p) shift 2 ;; *) break ;; esac; done
if [ $# = 0 ]; then while IFS= read -r line; do echo "$tag: $line"; done; else echo "$tag: $*"; fi >>{LOGGED}
"""
_ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nslurm:x:900:900::/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\nslurm:x:900:\n",
    "hosts": "127.0.0.1 localhost\n",
    "fstab": "# none\n",
}
_DIRECTORIES = {
    "dev": 0o755, "etc": 0o755, "opt": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "srv": 0o755, "stubs": 0o755,
    "tmp": 0o1777, "usr": 0o755, "var": 0o755, "var/lib": 0o755, "var/log": 0o755, "agent": 0o700, "configs": 0o755,
}  # fmt: skip
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_LONG_AGO = 1e9

Entry = tuple[int, int, int, bytes]
"""A path's st_mode, owner, group, and content or link target."""
Tree = dict[bytes, Entry]

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Something to be put into the root; ``kind`` is a regular file, a directory or a link (content: its target)."""

    content: bytes = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    kind: Literal["file", "directory", "link"] = "file"


PROGRAMS = {
    **{f"/stubs/{name}".encode(): File(content=_STUB.encode(), mode=0o755) for name in STUBS},
    b"/stubs/logger": File(content=_LOGGER.encode(), mode=0o755),
    b"/stubs/ash": File(kind="link", content=b"/usr/bin/busybox"),
}
"""What stands first in PATH."""


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _libc.mount(*words, flags, os.fsencode(data)) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _bind(path: str, root: str) -> None:
    mount(path, root + path, "", _MS_BIND | _MS_REC)
    mount("none", root + path, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def make(root: str, files: Mapping[bytes, File]) -> None:
    mount("tmpfs", root, "tmpfs", data="mode=0755")
    os.umask(0)
    for name, mode in _DIRECTORIES.items():
        os.mkdir(f"{root}/{name}", mode)
    for name in ("bin", "sbin", "lib", "lib64", "lib32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
            _bind(f"/{name}", root)
    _bind("/usr", root)
    # What the agent reads at run time (the verbs' text) is found where it was loaded from.
    for path in ("/etc/alternatives", str(PROJECT / "nodeagent")):
        if os.path.isdir(path):
            os.makedirs(root + path, 0o755, exist_ok=True)
            _bind(path, root)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{root}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        os.symlink(f"/proc/self/{target}", f"{root}/dev/{name}")
    mount("proc", f"{root}/proc", "proc")
    mount("tmpfs", f"{root}/agent", "tmpfs", data="mode=0700")  # the agent's own; not part of the tree
    os.chroot(root)
    os.chdir("/")
    for program, file in PROGRAMS.items():
        put(program, file)
    for name, text in _ETC.items():
        put(f"/etc/{name}".encode(), File(content=text.encode()))
    put(LOGGED.encode(), File())
    put_all(files)
    os.umask(0o022)


def put(path: bytes, file: File) -> None:
    """Place one thing, with an old time."""
    os.umask(0o022)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    match file.kind:
        case "link":
            os.symlink(file.content, path)
        case "directory":
            os.makedirs(path, exist_ok=True)
            os.chmod(path, file.mode)
        case "file":
            Path(os.fsdecode(path)).write_bytes(file.content)
            os.chmod(path, file.mode)
    os.lchown(path, *file.owner)
    # Else rsync takes what the program has written in the same second, with the same size, for the same content.
    os.utime(path, (_LONG_AGO, _LONG_AGO), follow_symlinks=False)


def put_all(files: Mapping[bytes, File]) -> None:
    """Place a repository and a starting tree; relative paths are the repository's."""
    for path in sorted(files):
        put(os.path.join(REPOSITORY.encode(), path), files[path])


def tree(roots: Sequence[bytes] = (b"/",), leave: Set[bytes] = frozenset({b"/dev", b"/agent"})) -> Tree:
    """Everything on the file systems of ``roots``, but for what is below ``leave``."""
    found: Tree = {}

    def walk(directory: bytes, device: int) -> None:
        for entry in os.scandir(directory):
            status = entry.stat(follow_symlinks=False)
            mounted = stat.S_ISDIR(status.st_mode) and status.st_dev != device  # an overlay's files have other devices
            if mounted or entry.path in leave:
                continue
            content = b""
            if stat.S_ISREG(status.st_mode):
                with open(entry.path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(entry.path)
            found[entry.path] = (status.st_mode, status.st_uid, status.st_gid, content)
            if stat.S_ISDIR(status.st_mode):
                walk(entry.path, device)

    for root in roots:
        walk(root, os.lstat(root).st_dev)
    return found
