"""Packages beside the one of this tree: a later one, and what stands in for an EL system on this Debian."""

import shutil
from pathlib import Path

from testbed import image
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


def later_tree(target: Path) -> Path:
    """A copy of this tree that calls itself a later version, and whose ledger has one step more."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=image.PROJECT)
    for name in listed.splitlines():
        if (image.PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(image.PROJECT / name, target / name)
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
