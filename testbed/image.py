"""A Debian root with nodeagent installed from its wheel, made once and kept outside the project.

Three layers, each a directory that overlayfs stacks: the system by mmdebstrap, the pinned libraries, the wheel. The
first two are kept in ``${XDG_CACHE_HOME:-~/.cache}/nodeagent`` under a name that changes with what they are made of;
the wheel is built and installed anew each time, with the commands that README.md gives.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.programs import run

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PYTHON, GLIBC_MINOR = "3.11", 36  # the suite's own
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PREFIX = "/usr/lib/nodeagent"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "openssh-server", "rsync", "procps", "busybox"),
    *("gcc", "libc6-dev", "libsystemd-dev", "pkg-config", "python3-dev"),  # systemd-python comes as source only
)
INSTALL_LIBRARIES = (
    f"python3 -m venv {PREFIX}",
    f"{PREFIX}/bin/pip install --no-index --find-links /run/wheels --require-hashes -r /run/requirements/build.txt",
    f"{PREFIX}/bin/pip install --no-index --find-links /run/wheels --no-build-isolation --require-hashes"
    " -r /run/requirements/runtime.txt",
)
INSTALL_WHEEL = (
    f"{PREFIX}/bin/pip install --no-index --no-deps /run/dist/nodeagent-*.whl",
    f"ln -s {PREFIX}/bin/nodeagent /usr/sbin/nodeagent",
    f"systemd-sysusers {PREFIX}/lib/sysusers.d/nodeagent.conf",
    f"systemctl enable {PREFIX}/lib/systemd/system/nodeagent.service",
)


def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodeagent"


def layers(scratch: Path) -> list[Path]:
    """The directories to stack, topmost first; ``scratch`` takes the wheel's own layer."""
    requirements = b"".join((PROJECT / "requirements" / name).read_bytes() for name in ("build.txt", "runtime.txt"))
    system_id = _digest(SUITE, *PACKAGES)
    library_id = _digest(system_id, requirements, *INSTALL_LIBRARIES)
    with _locked(cache_directory()) as cache:
        system = _kept(cache, "system", system_id, _bootstrap)
        wheels = _kept(cache, "wheels", library_id, _download)

        def install_libraries(target: Path) -> None:
            _install(
                [system],
                target,
                INSTALL_LIBRARIES,
                {"/run/wheels": wheels, "/run/requirements": PROJECT / "requirements"},
            )

        libraries = _kept(cache, "libraries", library_id, install_libraries)
    dist, product = scratch / "dist", scratch / "product"
    run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", dist, PROJECT])
    product.mkdir()
    _install([libraries, system], product, INSTALL_WHEEL, {"/run/dist": dist})
    return [product, libraries, system]


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def _locked(cache: Path) -> Iterator[Path]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def _kept(cache: Path, kind: str, identity: str, make: Callable[[Path], None]) -> Path:
    """The directory of that identity, made if it is not there; others of its kind are removed."""
    kept = cache / f"{kind}-{identity}"
    if kept.is_dir():
        return kept
    for old in cache.glob(f"{kind}-*"):
        shutil.rmtree(old)
    unfinished = cache / f"{kind}-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    make(unfinished)
    unfinished.rename(kept)
    return kept


def _bootstrap(target: Path) -> None:
    run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, target],
        timeout=900,
    )
    (target / "etc/machine-id").write_text("")  # each boot of a copy is a first one
    (target / "var/log/journal").mkdir(exist_ok=True)  # a journal that outlives the machine


def _download(target: Path) -> None:
    """Fetch the pinned files for the suite's Python, whichever Python runs this."""
    fits = ["--no-deps", "--require-hashes", "--dest", str(target), "--quiet", "--disable-pip-version-check"]
    binary = ["--only-binary=:all:", "--no-binary=systemd-python", f"--python-version={PYTHON}"]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(17, GLIBC_MINOR + 1)]
    for name in ("build.txt", "runtime.txt"):
        requirements = PROJECT / "requirements" / name
        run([sys.executable, "-m", "pip", "download", *fits, *binary, *platforms, "-r", requirements], timeout=600)


def _install(lower: Sequence[Path], target: Path, commands: Sequence[str], bind: dict[str, Path]) -> None:
    """Run the commands in the stacked system; what they change is left in ``target``. No network is there."""
    work, root = target.with_name(target.name + ".work"), target.with_name(target.name + ".root")
    for directory in (work, root):
        directory.mkdir(exist_ok=True)
    script = [
        f"mount -t overlay overlay -o lowerdir={':'.join(map(str, lower))},upperdir={target},workdir={work} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs tmpfs {root}/run",
        *(f"mkdir {root}{at} && mount --bind {source} {root}{at}" for at, source in bind.items()),
        f'exec env -i PATH="{PATH}" HOME=/root chroot {root} sh -exc "$1"',
    ]
    namespaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
    run([*namespaces, "sh", "-ec", "\n".join(script), "sh", "\n".join(commands)], timeout=600)
    for leftover in (work, root):
        shutil.rmtree(leftover)
