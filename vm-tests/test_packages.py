"""The packages on booted machines, by the programs that administrators use: from the first installation to the last
removal. The machine for the RPM is a Debian too; a stand-in says what an EL system has.
"""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from nodeagent import __version__
from nodeagent.enroll import xcat
from testbed import documents, packages
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL

LEDGER_VERSION = """
import sqlite3
print(sqlite3.connect("/var/lib/nodeagent/ledger.db").execute("PRAGMA user_version").fetchone()[0])
"""
SLOW = """#!/bin/sh -e
echo begun >>/run/steps
until [ -e /run/go ]; do sleep 0.1; done
echo ended >>/run/steps
"""


class Family(ABC):
    """How one family of distributions handles packages; this tree's is in ``/srv/dist``, a later one elsewhere."""

    upgrade: str
    downgrade: str
    remove: str

    @abstractmethod
    def bring(self, seed: Path) -> None:
        """Put the packages on the machine's disk."""

    @abstractmethod
    def install(self, node: Node) -> None:
        """As README.md has it."""


class Debian(Family):
    upgrade = "apt-get install --yes /srv/later/*.deb"
    downgrade = "apt-get install --yes --allow-downgrades /srv/dist/*.deb"
    remove = "apt-get remove --yes nodeagent"

    def __init__(self, now: Path, later: Path) -> None:
        self._now, self._later = now, later

    def bring(self, seed: Path) -> None:
        for package, place in ((self._now, "dist"), (self._later, "later")):
            (seed / "srv" / place).mkdir(parents=True)
            shutil.copy2(package, seed / "srv" / place)

    def install(self, node: Node) -> None:
        node.exec("sh", "-exc", "cd /srv\n" + documents.commands("README.md", "install-debian"), timeout=120)


class El(Family):
    upgrade = "dnf upgrade -y --enablerepo=later nodeagent"
    downgrade = "dnf downgrade -y nodeagent"
    remove = "dnf remove -y nodeagent"

    def __init__(self, now: Path, later: Path) -> None:
        self._now, self._later = now, later  # repositories

    def bring(self, seed: Path) -> None:
        shutil.copytree(self._now, seed / "srv/dist")
        shutil.copytree(self._later, seed / "srv/later")
        there = seed / "etc/yum.repos.d/local.repo"
        there.parent.mkdir(parents=True)
        there.write_text(
            "".join(
                f"[{n}]\nname={n}\nbaseurl=file:///srv/{n}\nenabled={n == 'dist':d}\ngpgcheck=0\n"
                for n in ("dist", "later")
            )
        )

    def install(self, node: Node) -> None:
        node.exec("sh", "-exc", "cd /srv\n" + documents.commands("README.md", "install-el"), timeout=120)


@pytest.fixture(scope="session")
def later_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packages.later_tree(tmp_path_factory.mktemp("later"))


@pytest.fixture(scope="session")
def debian(deb: Path, later_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return Debian(deb, packages.build(tmp_path_factory.mktemp("later-deb"), "deb", product=later_tree))


@pytest.fixture(scope="session")
def el(rpm: Path, later_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Family:
    stand_in = packages.stand_in(rpm, tmp_path_factory.mktemp("stand-in"))
    now = packages.repository(tmp_path_factory.mktemp("now"), rpm, stand_in)
    later = packages.build(tmp_path_factory.mktemp("later-rpm"), "rpm", product=later_tree)
    return El(now, packages.repository(later.parent))


@pytest.fixture(scope="session")
def layers(system: Path) -> list[Path]:
    """Instead of the layers with nodeagent: here it is installed when the machine is up."""
    return [system]


@pytest.fixture(params=["debian", "el"])
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def installed(family: Family, node: Node, server: GitServer) -> GitServer:
    """The machine is up, with the package as it comes; the site's configuration lies in ``/srv/etc``."""
    family.bring(node.seed)
    (node.seed / "etc/nodeagent").rename(node.seed / "srv/etc")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    family.install(node)
    return server


@pytest.fixture
def running(installed: GitServer, node: Node, agent: Agent) -> GitServer:
    """The service runs, and the server's newest commit is applied."""
    node.exec("sh", "-ec", "cp /srv/etc/* /etc/nodeagent/ && systemctl start nodeagent.service nodeagent-ready.path")
    agent.wait_applied(installed.git("rev-parse", "HEAD"))
    assert agent.status()["version"] == __version__
    return installed


def commit_step(server: GitServer, script: str) -> str:
    """Add a program to post.sh, and its run; the commit."""
    (server.work / "postscripts/slow").write_text(script)
    (server.work / "postscripts/slow").chmod(0o755)
    with (server.work / "post.sh").open("a") as post:
        post.write("\nRUN slow\n")
    return server.commit("A step that takes its time")


def behind(node: Node, command: str) -> None:
    """Let the machine run a command by itself."""
    node.exec("systemd-run", "--unit=behind", "--remain-after-exit", "sh", "-c", f"{command} >/run/behind.log 2>&1")


def wait_behind(node: Node) -> None:
    def ended() -> bool:
        return node.exec("systemctl", "show", "--value", "-p", "SubState", "behind.service").strip() in {
            "exited",
            "failed",
        }

    wait_until("the command has ended", ended, seconds=120)
    assert node.exec("systemctl", "is-failed", "behind.service", check=False).strip() != "failed", node.read(
        "/run/behind.log"
    )


def wait_version(agent: Agent, version: str) -> None:
    wait_until(f"{version} runs", lambda: agent.status().get("version") == version, seconds=60)


def test_a_first_installation_switches_on_and_starts_nothing(installed: GitServer, node: Node, agent: Agent) -> None:
    assert node.exec("nodeagent", "--version").strip() == f"nodeagent {__version__}"
    assert node.exec("systemctl", "is-enabled", "nodeagent.service", "nodeagent-ready.path").split() == ["enabled"] * 2
    assert agent.property("ActiveState") == "inactive"
    assert node.exec("stat", "-c", "%a %U", "/etc/nodeagent").strip() == "700 root"
    assert node.exec("sh", "-c", "systemd-analyze verify /usr/lib/systemd/system/nodeagent* 2>&1") == ""
    assert "nodeagent" in node.exec("getent", "passwd", "nodeagent")
    assert node.exec("env", "PYTHONHOME=/srv", "PYTHONPATH=/srv", "nodeagent", "--version").startswith("nodeagent ")
    assert not node.exec("find", "/usr/lib/nodeagent", "-newer", "/run/systemd/system", "-name", "*.pyc").split()


def test_an_upgrade_waits_for_the_evaluation_that_is_under_way(
    running: GitServer, family: Family, node: Node, agent: Agent
) -> None:
    commit = commit_step(running, SLOW)
    wait_until("the step has begun", lambda: node.exists("/run/steps"))
    behind(node, family.upgrade)
    wait_until("the upgrade waits", lambda: node.exec("pgrep", "-f", "/usr/lib/nodeagent/rest", check=False))
    assert agent.property("ActiveState") == "active"
    node.exec("touch", "/run/go")
    wait_behind(node)
    wait_version(agent, packages.LATER)
    agent.wait_applied(commit)
    assert node.read("/run/steps").split() == ["begun", "ended"]
    assert agent.condition("Degraded") is None
    told = node.exec("sh", "-exc", documents.commands("docs/packaging.md", "upgrade"))
    assert "0 loaded units listed" in told
    assert told.count(packages.LATER) == 2


def test_a_later_version_brings_the_ledger_up_to_date_and_a_downgrade_below_it_is_refused(
    running: GitServer, family: Family, node: Node, agent: Agent
) -> None:
    before = int(node.exec("python3", "-c", LEDGER_VERSION))
    node.exec("sh", "-c", family.upgrade, timeout=120)
    wait_version(agent, packages.LATER)
    (running.work / "files/motd").write_text("another tree\n")
    agent.wait_applied(running.commit("Another tree"))
    assert int(node.exec("python3", "-c", LEDGER_VERSION)) == before + 1

    refused = node.exec("sh", "-c", f"{family.downgrade} 2>&1; echo status $?", check=False, timeout=120)
    assert "a later nodeagent has written this node's ledger" in refused
    assert f"is of version {before + 1}, this one reads up to {before}" in refused
    assert "status 0" not in refused
    assert node.exec("nodeagent", "--version").strip() == f"nodeagent {packages.LATER}"
    wait_until("the service runs on", lambda: agent.property("ActiveState") == "active")
    assert agent.status()["version"] == packages.LATER


def test_post_sh_may_upgrade_the_package_under_itself(
    running: GitServer, family: Family, node: Node, agent: Agent
) -> None:
    commit = commit_step(running, f"#!/bin/sh -e\necho begun >>/run/steps\n{family.upgrade}\necho ended >>/run/steps\n")
    wait_version(agent, packages.LATER)
    agent.wait_applied(commit)
    assert node.read("/run/steps").split() == ["begun", "ended"]
    assert any("slow exited with code 0" in line for line in agent.log("postscripts"))


def test_genimages_postinstall_brings_the_rpm_and_the_configuration_and_the_image_boots_configured(
    el: El, node: Node, server: GitServer, agent: Agent
) -> None:
    el.bring(node.seed)
    custom = node.seed / "srv/custom"
    (node.seed / "etc/nodeagent").rename(custom)
    (custom / "nodeagent.postinstall").write_bytes(xcat.postinstall().content)
    server.start()
    node.boot()
    # The root of the image is the machine's own, seen from where nothing runs.
    node.exec("sh", "-exc", "mkdir /srv/rootimg; mount --bind / /srv/rootimg; cp /srv/dist/nodeagent-*.rpm /srv/custom")
    node.exec("sh", "-c", "rpm --root /srv/rootimg --install /srv/dist/el-stand-in-*.rpm")
    node.exec("sh", "/srv/custom/nodeagent.postinstall", "/srv/rootimg", timeout=120)
    assert node.exec("chroot", "/srv/rootimg", "nodeagent", "--version").strip() == f"nodeagent {__version__}"
    assert node.exec("systemctl", "--root=/srv/rootimg", "is-enabled", "nodeagent.service").strip() == "enabled"
    files = node.exec("sh", "-c", "cd /srv/rootimg/etc/nodeagent && stat -c '%a %n' key.enc known_hosts nodeagent.toml")
    assert files.splitlines() == ["600 key.enc", "644 known_hosts", "644 nodeagent.toml"]
    node.reboot(credentials={CREDENTIAL: server.password})
    agent.wait_applied(server.git("rev-parse", "HEAD"))


def test_a_removal_leaves_what_is_not_the_packages(
    running: GitServer, family: Family, node: Node, agent: Agent
) -> None:
    node.exec("sh", "-c", family.remove, timeout=120)
    assert agent.property("LoadState") == "not-found"
    assert node.exec("pgrep", "-f", "nodeagent run", check=False) == ""
    assert not node.exists("/usr/sbin/nodeagent")
    assert not node.exists("/usr/lib/nodeagent")
    assert "compute node compute-001" in node.read("/etc/motd")
    assert node.exists("/configs/post.sh")
    kept = node.exec("ls", "/etc/nodeagent").split()
    assert {"key.enc", "known_hosts"} < set(kept)
    assert any(name.startswith("nodeagent.toml") for name in kept)
    assert node.exists("/var/lib/nodeagent/ledger.db")
    if isinstance(family, Debian):
        node.exec("apt-get", "purge", "--yes", "nodeagent")
        assert node.exec("ls", "/etc/nodeagent").split() == ["key.enc", "known_hosts"]
        assert not node.exists("/var/lib/nodeagent")
