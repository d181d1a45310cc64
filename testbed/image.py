"""Debian roots, made once and kept in the cache, and layers of what is installed in them.

A layer is a directory that overlayfs stacks on others: what commands that ran in those have changed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed import cache
from testbed.documents import commands
from testbed.programs import run

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NODE_PACKAGES = "systemd systemd-sysv dbus python3 python3-venv openssh-server openssl rsync procps busybox"
BUILD_PACKAGES = "gcc libc6-dev libsystemd-dev pkg-config python3-dev"  # for the wheel: see testbed/wheel.py
RPM_PACKAGES = "rpm dnf"  # they install nodeagent's other package on this Debian
PACKAGES = f"{NODE_PACKAGES} {BUILD_PACKAGES} {RPM_PACKAGES}".split()


def system() -> Path:
    """A Debian without nodeagent."""
    return cache.kept("system", [SUITE, *PACKAGES], _bootstrap)


def with_cloud_init() -> Path:
    """A Debian that has cloud-init: not on this machine, where it would be at work at the next boot."""
    return cache.kept("cloud-init", [SUITE, "cloud-init"], partial(_bootstrap, packages=["cloud-init"]))


def with_package(deb: Path, lower: Sequence[Path], target: Path) -> list[Path]:
    """The layers with that package on top, installed as README.md says; ``target`` takes its layer."""
    target.mkdir()
    run_inside(lower, commands("README.md", "install-debian"), {"dist": deb.parent}, keep=target)
    return [target, *lower]


def run_inside(
    lower: Sequence[Path], script: str, bind: Mapping[str, Path], *, keep: Path | None = None, stdin: str = ""
) -> str:
    """Run commands as root in the stacked layers (topmost first), which is no booted system, and return their output.

    No network is there. They run in ``/run``, where they find the directories of ``bind``, by the names that it gives.
    What they change is lost, or is put into ``keep``, to be another layer.
    """
    mounts = [
        "mount -t tmpfs -o mode=0755 tmpfs .",  # an overlay cannot write to another one, as a container's / is
        'cd "$PWD"',
        "mkdir root upper work",
        f"mount -t overlay overlay -o lowerdir={':'.join(map(str, lower))},upperdir=upper,workdir=work root",
        "mount -t proc proc root/proc",
        "mount -t tmpfs tmpfs root/run",
    ]
    for name, source in bind.items():
        mounts += [f"mkdir root/run/{name}", f"mount --bind {source} root/run/{name}"]
    enter = f'env -i PATH="{PATH}" HOME=/root LC_ALL=C.UTF-8 chroot root sh -exc "$1"'
    leave = f"cp --archive upper/. {keep}" if keep else ""
    outside = "\n".join([*mounts, enter, leave])
    inside = "cd /run\n" + script
    namespaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
    with TemporaryDirectory() as memory:
        return run([*namespaces, "sh", "-ec", outside, "sh", inside], cwd=Path(memory), stdin=stdin, timeout=600)


def _bootstrap(target: Path, packages: Sequence[str] = PACKAGES) -> None:
    run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", SUITE, target],
        timeout=900,
    )
    (target / "etc/machine-id").write_text("")  # each boot of a copy is a first one
    (target / "var/log/journal").mkdir(exist_ok=True)  # a journal that outlives the machine
