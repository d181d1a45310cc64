"""What ``make release`` publishes."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from nodeagent import __version__
from testbed import documents, image
from testbed.programs import run

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory, deb: Path) -> Path:
    """What the program of that name leaves."""
    target = tmp_path_factory.mktemp("release") / "dist"
    environment = os.environ | {"PYTHON": sys.executable, "DEB_LEVEL": "1", "RPM_LEVEL": "1"}
    run([PROJECT / "packaging/release", image.cache_directory() / "pinned", target], env=environment, timeout=300)
    return target


@pytest.mark.timeout(400)
def test_a_release_has_everything_under_the_one_version_and_its_checksums(dist: Path, tmp_path: Path) -> None:
    names = {
        f"nodeagent-{__version__}-py3-none-any.whl",
        f"nodeagent-{__version__}.tar.gz",
        f"nodeagent-{__version__}.cdx.json",
        f"nodeagent-{__version__}-1.x86_64.rpm",
        f"nodeagent_{__version__}_amd64.deb",
    }
    assert {path.name for path in dist.iterdir()} == names | {"SHA256SUMS"}
    shutil.copytree(dist, tmp_path / "dist")
    checked = run(["sh", "-ec", documents.commands("docs/packaging.md", "verify")], cwd=tmp_path)
    assert checked.split() == [word for name in sorted(names) for word in (f"{name}:", "OK")]
