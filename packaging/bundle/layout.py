"""Where everything stands on a node."""

import gzip
import os
import shutil
import subprocess  # noqa: TID251 - the pages are made by the libraries that were just put there
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle import bill, libraries
from bundle.wheels import Distribution, texts

HOME = "usr/lib/nodeagent"
SITE = f"{HOME}/python"

_UNUSED = {"pycparser"}
"""What a requirement of a requirement names, and no node imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the families of distributions have at different places."""

    licences: str
    zsh: str


RPM = Family(licences="usr/share/licenses/nodeagent", zsh="usr/share/zsh/site-functions")
DEB = Family(licences="usr/share/doc/nodeagent/licenses", zsh="usr/share/zsh/vendor-completions")

_UNITS = "usr/lib/systemd/system"
_PLACES = {
    "systemd/nodeagent.service": _UNITS,
    "systemd/nodeagent-ready.path": _UNITS,
    "systemd/nodeagent-ready.target": _UNITS,
    "packaging/node/nodeagent-restart.service": _UNITS,
    "packaging/node/80-nodeagent.preset": "usr/lib/systemd/system-preset",
    "systemd/sysusers.d/nodeagent.conf": "usr/lib/sysusers.d",
    "systemd/tmpfiles.d/nodeagent.conf": "usr/lib/tmpfiles.d",
    "systemd/catalog/nodeagent.catalog": "usr/lib/systemd/catalog",
    "README.md": "usr/share/doc/nodeagent",
    "CHANGELOG.md": "usr/share/doc/nodeagent",
}
_PROGRAMS = {"packaging/node/nodeagent": "usr/sbin", "packaging/node/rest": HOME}


def build(
    root: Path, product: Path, pinned: Sequence[Distribution], family: Family, *, version: str, moment: float
) -> None:
    """Put everything below ``root``, which is empty.

    Args:
        product: the source tree.
        pinned: what the requirements name.
        moment: seconds since the epoch; the date of everything that has one.
    """
    used = [distribution for distribution in pinned if distribution.name not in _UNUSED]
    site = root / SITE
    site.mkdir(parents=True)
    libraries.install(used, product, site)
    libraries.compile_all(site, root)
    bill.write(root / HOME / bill.FILE, used, site, version=version, moment=moment)
    for places, mode in ((_PLACES, 0o644), (_PROGRAMS, 0o755)):
        for source, directory in places.items():
            _copy(product / source, root / directory, mode)
    for distribution in used:
        _licences(distribution, root / family.licences / distribution.name)
    _tree(product / "examples/ready-gate", root / "usr/share/doc/nodeagent/examples/ready-gate")
    _pages(root, product, family, moment)


def _pages(root: Path, product: Path, family: Family, moment: float) -> None:
    """Man pages, completions and configuration, made by the interpreter with the bundled libraries alone."""
    made = root / "pages"
    environment = {"PYTHONPATH": f"{product}/packaging:{root}/{SITE}", "SOURCE_DATE_EPOCH": str(int(moment))}
    subprocess.run([sys.executable, "-BSsm", "pages", made], env=os.environ | environment, check=True)
    for page in sorted(made.glob("man?/*")):
        packed = root / "usr/share/man" / page.parent.name / f"{page.name}.gz"
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(gzip.compress(page.read_bytes(), mtime=0))
    completion = made / "completion"
    _copy(completion / "nodeagent", root / "usr/share/bash-completion/completions", 0o644)
    _copy(completion / "_nodeagent", root / family.zsh, 0o644)
    _copy(completion / "nodeagent.fish", root / "usr/share/fish/vendor_completions.d", 0o644)
    _copy(made / "nodeagent.toml", root / "etc/nodeagent", 0o600)
    (root / "etc/nodeagent").chmod(0o700)
    shutil.rmtree(made)


def _licences(distribution: Distribution, target: Path) -> None:
    found = list(texts(distribution, r"(\.dist-info/(licenses/)?|^[^/]+/)(LICEN[CS]E|COPYING|AUTHORS)[^/]*$"))
    if not found:
        raise RuntimeError(f"{distribution.file}: has no text of its licence")
    target.mkdir(parents=True)
    for name, text in found:
        (target / name).write_bytes(text)


def _copy(source: Path, directory: Path, mode: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, directory / source.name)
    (directory / source.name).chmod(mode)


def _tree(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*")):
        if file.is_file():
            _copy(file, target / file.relative_to(source).parent, 0o644)
