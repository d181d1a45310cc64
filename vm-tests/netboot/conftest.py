"""Fixtures of the network boots: what nodes are booted from, and the network that they share with their servers."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from testbed import diskless, keeper
from testbed.diskless import Image

NEEDED = ("qemu-system-x86_64", "swtpm", "cpio", "zstd", "mmdebstrap", "sshd", "git", "openssl", "nsenter", "setpriv")

_times = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def image(able: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A kernel, and a Debian with nodeagent's package, which knows of no site yet."""
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if missing := [program for program in NEEDED if shutil.which(program, path=search) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    return diskless.with_package(request.getfixturevalue("deb"), tmp_path_factory.mktemp("diskless"))


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[str, ...]]:
    """What to put before a command, to run it in a network of its own that has loopback only."""
    held = keeper.start()
    yield ("nsenter", f"--net=/proc/{held.pid}/ns/net")
    held.kill()
    held.communicate()


@pytest.fixture
def say_time(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Has a line printed after the tests."""
    return request.config.stash.setdefault(_times, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_times, []):
        terminalreporter.write_line(line)
