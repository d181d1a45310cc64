"""nodeagent installed from its wheel, with the commands of README.md: a layer of libraries, and one of the wheel.

The libraries, and what they are installed from, are kept in the cache; the wheel is built and installed anew each time.
"""

import sys
from functools import partial
from pathlib import Path

from testbed import cache, image
from testbed.documents import commands
from testbed.programs import run

PYTHON, GLIBC_MINOR = "3.11", 36  # the suite's own
REQUIREMENTS = ("build.txt", "runtime.txt")
NO_INDEX = "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/run/wheels PIP_DISABLE_PIP_VERSION_CHECK=1\n"


def layers(scratch: Path) -> list[Path]:
    """The directories to stack, topmost first; ``scratch`` takes the wheel's own."""
    system = image.system()
    pinned = [(image.PROJECT / "requirements" / name).read_bytes() for name in REQUIREMENTS]
    wheels = cache.kept("wheels", [PYTHON.encode(), *pinned], _download)
    for_libraries, for_wheel = _commands()
    install = partial(_install, system, wheels, for_libraries)
    libraries = cache.kept("libraries", [system.name, wheels.name, for_libraries], install)
    dist, product = scratch / "dist", scratch / "product"
    run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", dist, image.PROJECT])
    product.mkdir()
    image.run_inside([libraries, system], NO_INDEX + for_wheel, {"dist": dist}, keep=product)
    return [product, libraries, system]


def _commands() -> tuple[str, str]:
    """README's commands, cut where they begin to speak of the wheel."""
    libraries: list[str] = []
    wheel: list[str] = []
    for line in commands("README.md", "install").splitlines():
        (wheel if wheel or "dist/" in line else libraries).append(line)
    return "\n".join(libraries), "\n".join(wheel)


def _install(system: Path, wheels: Path, script: str, target: Path) -> None:
    places = {"wheels": wheels, "requirements": image.PROJECT / "requirements"}
    image.run_inside([system], NO_INDEX + script, places, keep=target)


def _download(target: Path) -> None:
    """Fetch the pinned files for the suite's Python, whichever Python runs this."""
    fits = ["--no-deps", "--require-hashes", "--dest", str(target), "--quiet", "--disable-pip-version-check"]
    binary = ["--only-binary=:all:", "--no-binary=systemd-python", f"--python-version={PYTHON}"]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(17, GLIBC_MINOR + 1)]
    for name in REQUIREMENTS:
        requirements = image.PROJECT / "requirements" / name
        run([sys.executable, "-m", "pip", "download", *fits, *binary, *platforms, "-r", requirements], timeout=600)
