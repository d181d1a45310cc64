"""Fixtures of the scenarios: a machine with nodeagent installed and switched on, and a git server beside it.

The machine is not booted: a scenario first decides what it finds when it comes up.
"""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from testbed import image
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.site import CREDENTIAL, configure

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / "build/vm-tests"  # journals of scenarios that failed
PORT = 2222  # the machine's network is its own: no other server can be there

NEEDED = ("mmdebstrap", "systemd-nspawn", "sshd", "git", "rsync", "openssl", "unshare", "nsenter", "setpriv")

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="session")
def able() -> None:
    """This machine can boot another."""
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if missing := [program for program in NEEDED if shutil.which(program, path=search) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("needs root, for nspawn")


@pytest.fixture(scope="session")
def system(able: None) -> Path:
    """A Debian without nodeagent."""
    return image.system()


@pytest.fixture(scope="session")
def layers(system: Path, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A Debian with the package that this tree builds."""
    return image.with_package(deb, [system], tmp_path_factory.mktemp("image") / "package")


@pytest.fixture
def node(layers: list[Path], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(layers, tmp_path / "node") as machine:
        yield machine
        if request.node.stash.get(_failed, False):
            KEPT.mkdir(parents=True, exist_ok=True)
            journal = KEPT / f"{request.node.name}.journal"
            journal.write_text(machine.kept_journal() + machine.console.read_text(errors="replace"))
            print(f"the machine's journal is kept in {journal}")


@pytest.fixture
def server(node: Node, tmp_path: Path) -> Iterator[GitServer]:
    """A git server that the machine knows; it is not started. It serves the example repository."""
    site = GitServer(tmp_path / "server", port=PORT, enter=node.network)
    shutil.copytree(PROJECT / "examples/compute-configs", site.work, dirs_exist_ok=True)
    site.commit("Configure compute nodes")
    configure(node.seed, site, settings='interval = 2\njitter = 0\nretry_delay = 2\nargs = ["compute"]')
    yield site
    site.stop()


@pytest.fixture
def agent(node: Node) -> Agent:
    return Agent(node)


@pytest.fixture
def commit(node: Node, server: GitServer, agent: Agent) -> str:
    """The machine is up, and this commit, the server's newest, has just been applied."""
    newest = server.git("rev-parse", "HEAD")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    agent.wait_applied(newest)
    return newest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1200))  # the first one makes the Debian
