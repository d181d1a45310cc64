"""What ``make release`` publishes, and what it refuses to publish."""

import os
import re
import shutil
import subprocess  # noqa: TID251 - the release is a program
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent import __version__
from testbed import documents, packages
from testbed.gitserver import GIT_ENVIRONMENT
from testbed.programs import run

DAY = "2026-01-31"

pytestmark = pytest.mark.timeout(400)


class Release:
    """A checkout of this tree's files, all of them committed, and ``make release`` in it."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.dist = tree / "dist"

    def git(self, *words: str) -> str:
        return run(["git", *words], cwd=self.tree, env=GIT_ENVIRONMENT).strip()

    def write(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file, and commit."""
        file = self.tree / name
        file.write_text(change(file.read_text()))
        self.git("commit", "--quiet", "--all", "--message=Change")

    def make(self) -> "subprocess.CompletedProcess[str]":
        command = [self.tree / "packaging/release", packages.pinned(), self.dist]
        environment = os.environ | {"PYTHON": sys.executable, "DEB_LEVEL": "1", "RPM_LEVEL": "1"}
        environment |= {"GIT_CEILING_DIRECTORIES": str(self.tree.parent)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    def refused(self) -> str:
        """Why nothing is published; what was there before is still there."""
        self.dist.mkdir(exist_ok=True)
        (self.dist / "before").touch()
        done = self.make()
        assert done.returncode == 1, done.stdout + done.stderr
        assert (self.dist / "before").exists()
        assert done.stderr.startswith("release: ")
        return done.stderr


def told(changelog: str) -> str:
    """The changelog with all that is new below the version."""
    return changelog.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{__version__}] - {DAY}\n", 1)


def with_version(version: str) -> Callable[[str], str]:
    return lambda text: text.replace(f'"{__version__}"', f'"{version}"')


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = packages.copy_tree(tmp_path_factory.mktemp("release") / "nodeagent")
    release = Release(tree)
    release.git("init", "--quiet")
    release.git("add", "--all")
    release.git("commit", "--quiet", "--message=All")
    release.write("CHANGELOG.md", told)
    return tree


@pytest.fixture
def release(committed: Path, tmp_path: Path) -> Release:
    """It could be published."""
    return Release(shutil.copytree(committed, tmp_path / "nodeagent", symlinks=True))


def test_a_release_has_everything_under_the_one_version_and_its_checksums(release: Release) -> None:
    done = release.make()
    assert done.returncode == 0, done.stderr
    names = {
        f"nodeagent-{__version__}-py3-none-any.whl",
        f"nodeagent-{__version__}.tar.gz",
        f"nodeagent-{__version__}.cdx.json",
        f"nodeagent-{__version__}-1.x86_64.rpm",
        f"nodeagent_{__version__}_amd64.deb",
    }
    assert {path.name for path in release.dist.iterdir()} == names | {"SHA256SUMS"}
    checked = run(["sh", "-ec", documents.commands("docs/packaging.md", "verify")], cwd=release.tree)
    assert checked.split() == [word for name in sorted(names) for word in (f"{name}:", "OK")]


@pytest.mark.parametrize("name", ["README.md", "new-file"])
def test_a_tree_that_is_not_what_is_committed_is_refused(release: Release, name: str) -> None:
    with (release.tree / name).open("a") as file:
        file.write("changed\n")
    assert name in release.refused()


def test_a_tree_that_git_does_not_know_is_refused(release: Release) -> None:
    shutil.rmtree(release.tree / ".git")
    assert "no checkout of git" in release.refused()


def test_a_version_of_which_the_changelog_says_nothing_is_refused(release: Release) -> None:
    release.write("nodeagent/__init__.py", with_version("3.2.1"))
    assert re.search(r"no section of this version: put '## \[3\.2\.1\] - \d{4}-", release.refused())


def test_what_the_changelog_has_as_unreleased_is_not_released(release: Release) -> None:
    release.write("CHANGELOG.md", lambda text: text.replace("[Unreleased]\n", "[Unreleased]\n\n- Another thing.\n", 1))
    assert "entries under [Unreleased]" in release.refused()


def test_a_version_that_another_commit_has_is_refused_and_the_same_commit_is_not(release: Release) -> None:
    release.git("tag", f"v{__version__}")
    releasable = release.tree / "packaging/releasable"
    run([releasable], env={**os.environ, "PYTHON": sys.executable})
    tagged = release.git("rev-parse", "HEAD")
    release.write("README.md", lambda text: text + "Another line.\n")
    assert f"v{__version__} is commit {tagged} already" in release.refused()


def test_a_version_below_one_that_is_published_is_refused(release: Release) -> None:
    release.git("tag", "v10.0.0", "HEAD~1")
    assert "v10.0.0 is published already" in release.refused()


def test_a_version_of_another_form_is_refused(release: Release) -> None:
    release.write("nodeagent/__init__.py", with_version("1.0.dev1"))
    assert "MAJOR.MINOR.PATCH" in release.refused()
