"""A private copy of this machine for one process tree: what is written in it is gone when it ends.

:func:`enter` puts the calling program, started anew, into mount, process-id, network, IPC and host-name namespaces
of its own. Its root is an overlay of ``/`` with a tmpfs on top; the real ``/`` can be read at ``LOWER`` and written
nowhere. The network is an own loopback, ``/run`` and ``/tmp`` are empty, and all ends with the first process.

It is not built by ``nodeagent.sandbox``, on purpose. That one is to hold a hostile program: no capabilities, devices
or sockets, nothing left. Here the agent itself runs, as root with all of root's powers, sandboxes included; and what
compares the agent with the shell must not rest on the agent's own code.
"""

import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.loopback import raise_loopback
from testbed.programs import run

PROJECT = Path(__file__).resolve().parent.parent
NO_LOWER = ("proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2")  # of a root that somebody is just making
NOT_OVERLAID = ("/proc", "/sys", "/dev", "/run", "/tmp")
INSIDE = "NODEAGENT_SANDBOX"
STUB_LOG = Path("/run/stubs.log")
UPPER = Path("/run/upper")  # what the sandbox changed
LOWER = Path("/run/lower")  # the machine's own files, read-only


def enter(host_name: str) -> None:
    """Return inside the sandbox; the process that called goes on there, from the start of its program.

    Raises:
        SystemExit: not root.
    """
    if os.environ.pop(INSIDE, None):
        _build(Path("/run"), host_name)
        return
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: root is needed, to make namespaces and an overlay of /")
    namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", *namespaces, sys.executable, *sys.argv])


def stub(commands: Sequence[str]) -> None:
    """Replace each command by one that notes its arguments in ``STUB_LOG`` and succeeds."""
    for name in commands:
        found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        path = Path(found or f"/usr/bin/{name}")
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{STUB_LOG}\n')
        path.chmod(0o755)


def changes() -> Iterator[tuple[str, Path]]:
    """How the sandbox's ``/`` differs from the machine's: ``A`` added, ``M`` changed, ``D`` removed; in path order."""
    entries = (Path(top) / name for top, directories, files in os.walk(UPPER) for name in (*directories, *files))
    for entry in sorted(entry for entry in entries if entry.is_symlink() or not entry.is_dir()):
        status = entry.lstat()
        path = entry.relative_to(UPPER)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs marks a removal so
            yield "D", Path("/") / path
        else:
            yield ("M" if os.path.lexists(LOWER / path) else "A"), Path("/") / path


def _build(base: Path, host_name: str) -> None:
    """Build the new root below ``base``, an empty directory that nothing else here needs."""
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", base])
    root = base / "root"
    root.mkdir()
    _overlay(Path("/"), root, base / "layer")
    for number, mount_point in enumerate(_disk_mounts()):
        _overlay(mount_point, root / mount_point.relative_to("/"), base / f"layer{number}")
    run(["mount", "-t", "proc", "proc", root / "proc"])
    run(["mount", "-t", "sysfs", "-o", "ro", "sysfs", root / "sys"])
    run(["mount", "--rbind", "/dev", root / "dev"])
    for name, mode in (("run", "0755"), ("tmp", "1777")):
        run(["mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", root / name])
    for needed in (PROJECT, Path(sys.prefix), Path(sys.base_prefix)):
        _show(needed, root)
    socket.sethostname(host_name)
    raise_loopback()
    _pivot(root, keep=base / "layer" / "upper")


def _overlay(lower: Path, target: Path, layer: Path) -> None:
    upper, work = layer / "upper", layer / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    run(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", target])


def _disk_mounts() -> Iterator[Path]:
    """Directories below ``/`` that are mounts of their own, as ``/usr`` or ``/home`` may be."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        left_out = any(str(point) == name or str(point).startswith(name + "/") for name in NOT_OVERLAID)
        left_out |= line.partition(" - ")[2].split()[0] in NO_LOWER
        if point != Path("/") and not left_out and point.is_dir():
            yield point


def _show(directory: Path, root: Path) -> None:
    """Bind a directory that an empty ``/run`` or ``/tmp`` would hide, read-only."""
    target = root / directory.relative_to("/")
    if not target.exists():
        target.mkdir(parents=True)
        run(["mount", "--bind", directory, target])
        run(["mount", "-o", "remount,bind,ro", target])


def _pivot(root: Path, *, keep: Path) -> None:
    """Make ``root`` the root; the old one stays to be read at ``LOWER``, and ``keep`` at ``UPPER``."""
    old = root / "run/old"
    old.mkdir()
    for kept, at in ((keep, UPPER), (Path("/"), LOWER)):
        target = root / at.relative_to("/")
        target.mkdir()
        run(["mount", "--bind", "-o", "ro", kept, target])
    here = Path.cwd()
    run(["pivot_root", root, old])
    os.chdir("/")
    run(["umount", "--lazy", "/run/old"])
    Path("/run/old").rmdir()
    os.chdir(here if here.exists() else "/")
