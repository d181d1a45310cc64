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
from functools import partial
from pathlib import Path

from testbed.documents import commands
from testbed.programs import run

PROJECT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PYTHON, GLIBC_MINOR = "3.11", 36  # the suite's own
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NODE_PACKAGES = "systemd systemd-sysv dbus python3 python3-venv openssh-server openssl rsync procps busybox"
BUILD_PACKAGES = "gcc libc6-dev libsystemd-dev pkg-config python3-dev"  # systemd-python comes as source only
RPM_PACKAGES = "rpm dnf"  # they install nodeagent's other package on this Debian
PACKAGES = f"{NODE_PACKAGES} {BUILD_PACKAGES} {RPM_PACKAGES}".split()
NO_INDEX = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/run/wheels PIP_DISABLE_PIP_VERSION_CHECK=1"


def cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nodeagent"


def layers(scratch: Path) -> list[Path]:
    """The directories to stack, topmost first; ``scratch`` takes the wheel's own layer."""
    requirements = b"".join((PROJECT / "requirements" / name).read_bytes() for name in ("build.txt", "runtime.txt"))
    system_id = _digest(SUITE, *PACKAGES)
    install_libraries, install_wheel = _install_commands()
    wheels_id = _digest(PYTHON, requirements)
    library_id = _digest(system_id, wheels_id, install_libraries)
    with _locked(cache_directory()) as cache:
        system = _kept(cache, "system", system_id, _bootstrap)
        wheels = _kept(cache, "wheels", wheels_id, _download)
        install = partial(_install, [system], install_libraries, {"wheels": wheels})
        libraries = _kept(cache, "libraries", library_id, install)
    dist, product = scratch / "dist", scratch / "product"
    run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", dist, PROJECT])
    product.mkdir()
    _install([libraries, system], install_wheel, {"dist": dist}, product)
    return [product, libraries, system]


def system() -> Path:
    """The Debian without nodeagent."""
    with _locked(cache_directory()) as cache:
        return _kept(cache, "system", _digest(SUITE, *PACKAGES), _bootstrap)


def build(dist: Path, kind: str, *, product: Path = PROJECT) -> Path:
    """Build a package (``deb``, ``rpm``) of a source tree into an empty directory; the package."""
    environment = os.environ | {"PYTHON": sys.executable, "DEB_LEVEL": "1", "RPM_LEVEL": "1"}
    environment.setdefault("SOURCE_DATE_EPOCH", run(["git", "log", "-1", "--format=%ct"], cwd=PROJECT).strip())
    with _locked(cache_directory()) as cache:
        wheels = cache / "pinned"
        run([PROJECT / "packaging/fetch-wheels", wheels], env=environment, timeout=600)
        run([product / f"packaging/build-{kind}", wheels, dist], env=environment, timeout=300)
    (package,) = dist.iterdir()
    return package


def kept(kind: str, made_of: Sequence[str], make: Callable[[Path], None]) -> Path:
    """A directory of the cache, filled by ``make`` if there is none that is made of the same."""
    with _locked(cache_directory()) as cache:
        return _kept(cache, kind, _digest(*made_of), make)


def with_cloud_init() -> Path:
    """A Debian that has cloud-init: not on this machine, where it would be at work at the next boot."""
    bootstrap = partial(_bootstrap, packages=["cloud-init"])
    with _locked(cache_directory()) as cache:
        return _kept(cache, "cloud-init", _digest(SUITE, "cloud-init"), bootstrap)


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


def _bootstrap(target: Path, packages: Sequence[str] = PACKAGES) -> None:
    run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", SUITE, target],
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


def _install_commands() -> tuple[str, str]:
    """README's commands, cut where they begin to speak of the wheel."""
    libraries: list[str] = []
    wheel: list[str] = []
    for line in commands("README.md", "install").splitlines():
        (wheel if wheel or "dist/" in line else libraries).append(line)
    return "\n".join(libraries), "\n".join(wheel)


def _install(lower: Sequence[Path], script: str, bind: dict[str, Path], target: Path) -> None:
    """Run the commands in the stacked system; what they change is left in ``target``. No network is there.

    They run in ``/run``, where they find ``requirements`` and the directories in ``bind``.
    """
    memory = target.with_name(target.name + ".memory")
    memory.mkdir(exist_ok=True)
    root, upper, work = (memory / name for name in ("root", "upper", "work"))
    mounts = [
        f"mount -t tmpfs -o mode=0755 tmpfs {memory}",  # an overlay cannot write to another one, as a container's / is
        f"mkdir {root} {upper} {work}",
        f"mount -t overlay overlay -o lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work} {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs tmpfs {root}/run",
    ]
    for name, source in {"requirements": PROJECT / "requirements", **bind}.items():
        mounts += [f"mkdir {root}/run/{name}", f"mount --bind {source} {root}/run/{name}"]
    enter = f'env -i PATH="{PATH}" HOME=/root chroot {root} sh -exc "$1"'
    keep = f"cp --archive {upper}/. {target}"
    namespaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
    inside = "\n".join(["cd /run", NO_INDEX, script])
    run([*namespaces, "sh", "-ec", "\n".join([*mounts, enter, keep]), "sh", inside], timeout=600)
    memory.rmdir()
