"""The root of a sandbox: an overlay of every local file system, private versions of what is no file system of files.

:func:`build` runs in mount and network namespaces of the caller's own, in which all that is mounted is private;
:func:`enter` in the first process of the new PID namespace. All memory that is written to, except ``/dev``, is one
tmpfs: one limit holds for all.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.sandbox import kernel
from nodeagent.sandbox.kernel import Mount
from nodeagent.sandbox.mounts import REPLACED, MountPoint, Treatment, is_below, parse, shown

BASE = "/sys"
"""Where the tmpfs is mounted for whoever builds: the one directory of every node that is not needed meanwhile."""

_PRIVATE = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
_KEPT_OPTIONS = {"ro": Mount.RDONLY, "noexec": Mount.NOEXEC}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MASKED = ("kcore", "keys", "kmsg", "latency_stats", "sched_debug", "sysrq-trigger", "timer_list", "timer_stats")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A part of the tree that can be written to inside: ``upper`` holds what was, ``lower`` what the node has there.

    ``lower`` is empty where the node's own is not seen. ``file``: it is a file, ``upper`` its copy.
    """

    point: str
    upper: str
    lower: str
    file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root that was built: all paths are the builder's. ``limits`` says what of the node is not as it is outside."""

    path: str
    layers: Sequence[Layer]
    limits: Sequence[str]


def mount_memory(size: str) -> Path:
    """Mount the tmpfs that takes all that is written; ``size`` as tmpfs(5) takes it.

    Returns:
        A directory with a tmpfs of the agent's own, which still takes something when a script has filled the other.
    """
    kernel.mount("nodeagent", BASE, "tmpfs", Mount.NOSUID, f"mode=0700,size={size}")
    own = f"{BASE}/own"
    os.mkdir(own)
    kernel.mount("nodeagent", own, "tmpfs", Mount.NOSUID, f"mode=0700,size={size}")
    return Path(own)


def build(needed: Sequence[Path], replaced: Mapping[Path, Path], sockets: Iterable[str]) -> Root:
    """Build the root below :data:`BASE`.

    Args:
        needed: directories and files to be seen at their own places also if these are not seen inside.
        replaced: directories, and the directories below :data:`BASE` that are to stand in their places.
        sockets: the paths of sockets that nobody is to reach; see :func:`bound_sockets`.

    Raises:
        OSError: the kernel refuses a mount; its ``filename`` says which.
    """
    builder = _Builder()
    for entry in shown(list(parse(Path("/proc/self/mountinfo").read_bytes()))):
        if entry.path != "/":
            builder.add(entry)
    builder.replace()
    for path in needed:
        builder.show(str(path.resolve()))
    for path, stand_in in replaced.items():
        builder.make_directory(str(path.resolve()))
        kernel.bind(str(stand_in), builder.path + str(path.resolve()), Mount.NODEV | Mount.NOSUID)
    builder.cover(sockets)
    return builder.finish()


def bound_sockets() -> list[str]:
    """The paths of all Unix sockets in the caller's network namespace that are not replaced anyway (proc(5)).

    The place of a socket that was bound to a relative path is not known.
    """
    lines = Path("/proc/net/unix").read_bytes().splitlines()
    found = (re.fullmatch(rb"(?:\S+ +){7}(/.*)", line) for line in lines)
    paths = {os.path.realpath(os.fsdecode(line[1])) for line in found if line is not None}
    return sorted(path for path in paths if not any(is_below(path, top) for top in REPLACED))


def enter(root: Root) -> None:
    """Go into the root for good, with a ``/proc`` of the PID namespace in which this process is the first."""
    kernel.unshare(kernel.Namespace.MOUNT)  # who built it goes on seeing the node
    proc = f"{root.path}/proc"
    kernel.mount("proc", proc, "proc", _PRIVATE | Mount.RDONLY)
    for name in _MASKED:
        if os.path.exists(f"{proc}/{name}"):
            kernel.bind(f"{root.path}/dev/null", f"{proc}/{name}", Mount.RDONLY)
    # A container has a boot id of its own, by a mount on its /proc; a fresh /proc has the host's.
    shutil.copyfile(_BOOT_ID, f"{BASE}/boot_id")
    kernel.bind(f"{BASE}/boot_id", root.path + _BOOT_ID, Mount.RDONLY)
    kernel.enter_root(root.path)


class _Builder:
    """A root under way."""

    def __init__(self) -> None:
        self.path = f"{BASE}/root"
        self._layers: list[Layer] = []
        self._limits: list[str] = []
        self._absent: list[str] = []
        os.mkdir(self.path, 0o755)
        self._overlay("/", kernel.PLAIN)

    def add(self, entry: MountPoint) -> None:
        target = self.path + entry.path
        flags = kernel.PLAIN
        for option, flag in _KEPT_OPTIONS.items():
            if option in entry.options:
                flags |= flag
        if not os.path.isdir(target):
            if os.path.isfile(target):
                self._add_file(entry, target, flags)
        elif entry.treatment is Treatment.ABSENT:
            kernel.mount("nodeagent", target, "tmpfs", _PRIVATE, "mode=0755,size=64k")
            self._absent.append(entry.path)
            self._limits.append(f"{entry.path} ({entry.kind}) is not looked at: it is empty inside, and read-only")
        else:
            self._add_directory(entry, flags)

    def replace(self) -> None:
        """Put private ones in the place of what is no file system of files. ``/proc`` is mounted on entering."""
        self._devices()
        kernel.mount("sysfs", f"{self.path}/sys", "sysfs", _PRIVATE | Mount.RDONLY)
        self._memory("/run", 0o755)

    def show(self, path: str) -> None:
        """See to it that a directory or file of the node is seen at its own place."""
        hidden = any(is_below(path, top) for top in (*REPLACED, *self._absent))
        if not hidden or not os.path.lexists(path):
            return
        if os.path.isdir(path):
            self.make_directory(path)
            self._overlay(path, kernel.PLAIN)
        else:
            self.make_directory(os.path.dirname(path))
            shutil.copy2(path, self.path + path, follow_symlinks=False)

    def make_directory(self, path: str) -> None:
        """Make a directory inside; no part of the path may be a link, which would lead outside."""
        os.makedirs(self.path + path, 0o755, exist_ok=True)

    def cover(self, sockets: Iterable[str]) -> None:
        """Put an empty file over every socket.

        An overlay alone keeps them out where its inodes are its own for the kernel's socket table, which they were not
        in every kernel; a bind mount never does.
        """
        nothing = f"{BASE}/nothing"
        os.close(os.open(nothing, os.O_WRONLY | os.O_CREAT, 0o000))
        for path in sockets:
            target = self.path + path
            try:
                if stat.S_ISSOCK(os.lstat(target).st_mode):
                    kernel.bind(nothing, target, Mount.RDONLY)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise

    def finish(self) -> Root:
        for path in self._absent:
            kernel.mount("none", self.path + path, "", Mount.REMOUNT | Mount.BIND | Mount.RDONLY | _PRIVATE)
        return Root(path=self.path, layers=tuple(self._layers), limits=tuple(self._limits))

    # --- one place -----------------------------------------------------------------------------------------------

    def _overlay(self, path: str, flags: Mount) -> None:
        upper, work = f"{BASE}/upper-{len(self._layers)}", f"{BASE}/work-{len(self._layers)}"
        lower = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.mkdir(upper)
            found = os.fstat(lower)
            os.chown(upper, found.st_uid, found.st_gid)  # the overlay's top has the mode and owner of this one
            os.chmod(upper, stat.S_IMODE(found.st_mode))
            os.mkdir(work)
            # By descriptor: no path needs escaping. redirect_dir: a moved directory is to stand in the upper layer
            # whole. xino: a file keeps its inode number, by which the ledger knows it.
            data = f"lowerdir=/proc/self/fd/{lower},upperdir={upper},workdir={work},redirect_dir=off,xino=off"
            kernel.mount("nodeagent", self.path + path, "overlay", Mount.NODEV | Mount.NOSUID | flags, data)
        finally:
            os.close(lower)
        self._layers.append(Layer(point=path, upper=upper, lower=path))

    def _add_directory(self, entry: MountPoint, flags: Mount) -> None:
        try:
            self._overlay(entry.path, flags)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ELOOP):  # vfat and its like cannot lie below; too deep a stack
                raise
            kernel.bind(entry.path, self.path + entry.path, Mount.RDONLY | Mount.NODEV | Mount.NOSUID | flags)
            self._limits.append(f"{entry.path} ({entry.kind}) is read-only inside: it cannot be overlaid")

    def _add_file(self, entry: MountPoint, target: str, flags: Mount) -> None:
        """A file that is a mount point of its own: a copy of it is, too."""
        if entry.treatment is Treatment.ABSENT or not os.path.isfile(entry.path):
            return
        copy = f"{BASE}/file-{len(self._layers)}"
        shutil.copy2(entry.path, copy)
        found = os.stat(entry.path)
        os.chown(copy, found.st_uid, found.st_gid)
        os.chmod(copy, stat.S_IMODE(found.st_mode))
        kernel.bind(copy, target, Mount.NODEV | Mount.NOSUID | flags)
        self._layers.append(Layer(point=entry.path, upper=copy, lower=entry.path, file=True))

    def _memory(self, path: str, mode: int) -> None:
        """A directory of the tmpfs that is empty whatever the node has there."""
        upper = f"{BASE}/upper-{len(self._layers)}"
        os.mkdir(upper)
        os.chmod(upper, mode)
        kernel.bind(upper, self.path + path, Mount.NODEV | Mount.NOSUID)
        self._layers.append(Layer(point=path, upper=upper, lower=""))

    def _devices(self) -> None:
        top = f"{self.path}/dev"
        kernel.mount("nodeagent", top, "tmpfs", Mount.NOSUID | Mount.NOEXEC, "mode=0755,size=64k,nr_inodes=1k")
        for name in _DEVICES:
            os.close(os.open(f"{top}/{name}", os.O_WRONLY | os.O_CREAT, 0o644))
            # Read-only: it is the node's own device, whose mode and owner must stay. Data goes through all the same.
            kernel.bind(f"/dev/{name}", f"{top}/{name}", Mount.RDONLY | Mount.NOSUID | Mount.NOEXEC)
        for name, target in _LINKS.items():
            os.symlink(f"/proc/self/{target}", f"{top}/{name}")
        for name in ("pts", "shm"):
            os.mkdir(f"{top}/{name}", 0o755)
        kernel.mount(
            "devpts", f"{top}/pts", "devpts", Mount.NOSUID | Mount.NOEXEC, "newinstance,ptmxmode=0666,mode=620"
        )
        os.symlink("pts/ptmx", f"{top}/ptmx")
        self._memory("/dev/shm", 0o1777)
