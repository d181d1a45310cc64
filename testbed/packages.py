"""The packages of this tree and of a later one, and what stands in for an EL system on this Debian."""

import os
import shutil
import sys
from pathlib import Path

from testbed import cache, image
from testbed.programs import run

LATER = "9.9.9"
_STAND_IN = """Name: el-stand-in
Version: 1
Release: 1
Summary: What an EL system has, said of a Debian that has it
License: MIT
BuildArch: x86_64
{provides}
%description
For tests.
%files
"""


def pinned() -> Path:
    """The libraries as files, as the packages have them inside."""
    with cache.locked() as kept:
        wheels = kept / "pinned"
        run([image.PROJECT / "packaging/fetch-wheels", wheels], env=_environment(), timeout=600)
    return wheels


def build(dist: Path, kind: str, *, product: Path = image.PROJECT) -> Path:
    """Build a package (``deb``, ``rpm``) of a source tree into an empty directory; the package."""
    run([product / f"packaging/build-{kind}", pinned(), dist], env=_environment(), timeout=300)
    (package,) = dist.iterdir()
    return package


def copy_tree(target: Path) -> Path:
    """A copy of this tree's files as they are now, without what git ignores."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=image.PROJECT)
    for name in listed.splitlines():
        if (image.PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(image.PROJECT / name, target / name, follow_symlinks=False)
    return target


def later_tree(target: Path) -> Path:
    """A copy of this tree that calls itself a later version, and whose ledger has one step more."""
    copy_tree(target)
    version, schema = target / "nodeagent/__init__.py", target / "nodeagent/ledger/schema.py"
    changed = [
        f'__version__ = "{LATER}"' if "__version__" in line else line for line in version.read_text().split("\n")
    ]
    version.write_text("\n".join(changed))
    schema.write_text(schema.read_text() + '\nSTEPS = (*STEPS, "CREATE TABLE later (number INTEGER);")\n')
    return target


def repository(directory: Path, *packages: Path) -> Path:
    """A directory that dnf takes packages from."""
    for package in packages:
        shutil.copy2(package, directory)
    run(["createrepo_c", "--quiet", directory])
    return directory


def stand_in(rpm: Path, directory: Path) -> Path:
    """A package that has nothing but what that one asks of the system."""
    asked = run(["rpm", "--query", "--package", "--requires", rpm]).splitlines()
    names = {name.replace(">=", "=") for name in asked if not name.startswith(("rpmlib(", "config("))}
    spec = directory / "stand-in.spec"
    spec.write_text(_STAND_IN.format(provides="\n".join(f"Provides: {name}" for name in sorted(names))))
    run(["rpmbuild", "-bb", "--define", f"_topdir {directory}", "--define", f"_rpmdir {directory}", spec])
    (made,) = directory.glob("x86_64/*.rpm")
    return made


def _environment() -> dict[str, str]:
    """Little is gained by packing hard what is unpacked at once."""
    environment = os.environ | {"PYTHON": sys.executable, "DEB_LEVEL": "1", "RPM_LEVEL": "1"}
    environment.setdefault("SOURCE_DATE_EPOCH", run(["git", "log", "-1", "--format=%ct"], cwd=image.PROJECT).strip())
    return environment
