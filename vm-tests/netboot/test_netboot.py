"""Nodes that the network boots, whose root is in memory: all at once, each enrolled in its own way.

They are switched on once, since a boot takes a minute. Each test brings them to where it begins, and can be run alone.
"""

import shutil
import subprocess  # noqa: TID251 - the seed's server is a program
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import diskless, xcat
from testbed.agent import Agent
from testbed.diskless import Image
from testbed.enrolled import Administrator, Enrolled
from testbed.gitserver import GitServer
from testbed.keeper import DIES_WITH_OWNER
from testbed.netboot import BOOTS_WITHIN, HOST, NetbootNode
from testbed.programs import wait_until
from testbed.tpm import tpm2

PROJECT = Path(__file__).resolve().parent.parent.parent
KEPT = PROJECT / "build/vm-tests"  # consoles and journals of nodes that failed
GIT_PORT, SEED_PORT = 2222, 8000  # the network is our own: no other server can be there
XCAT, CLOUD_INIT, SMBIOS, FW_CFG = NAMES = ("compute-001", "compute-002", "compute-003", "compute-004")
Nodes = dict[str, NetbootNode]


@pytest.fixture(scope="module")
def server(network: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    site = GitServer(tmp_path_factory.mktemp("server"), port=GIT_PORT, enter=network, known_as=HOST)
    shutil.copytree(PROJECT / "examples/compute-configs", site.work, dirs_exist_ok=True)
    site.commit("Configure compute nodes")
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def seed(network: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that nodes read by HTTP."""
    directory = tmp_path_factory.mktemp("seed")
    serve = (sys.executable, "-m", "http.server", str(SEED_PORT), "--bind", "127.0.0.1", "--directory", directory)
    nowhere = subprocess.DEVNULL
    with subprocess.Popen([*DIES_WITH_OWNER, *network, *serve], stdout=nowhere, stderr=nowhere) as http:
        yield directory
        http.kill()


@pytest.fixture(scope="module")
def ways(image: Image, server: GitServer, seed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Enrolled]:
    """How each node was enrolled."""
    here = tmp_path_factory.mktemp("enrolled")
    administrator = Administrator(image.layers, server)
    return {
        XCAT: administrator.by_xcat(here / XCAT),
        CLOUD_INIT: administrator.by_cloud_init(here / CLOUD_INIT, seed=seed, url=f"http://{HOST}:{SEED_PORT}/"),
        SMBIOS: administrator.by_smbios(here / SMBIOS),
        FW_CFG: administrator.by_fw_cfg(here / FW_CFG),
    }


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[str]]:
    with tpm2(tmp_path_factory.mktemp("tpm") / "state") as devices:
        yield devices


@pytest.fixture(scope="module")
def nodes(
    image: Image,
    network: tuple[str, ...],
    ways: dict[str, Enrolled],
    tpm: Sequence[str],
    request: pytest.FixtureRequest,
) -> Iterator[Nodes]:
    """They have just been switched on, all at once."""
    here = request.getfixturevalue("tmp_path_factory").mktemp("nodes")
    nodes = {}
    for name, way in ways.items():
        site = diskless.packed(way.root, here / f"{name}.img")
        own = replace(image, initramfs=(*image.initramfs, site))
        devices = (*way.devices, *(tpm if name == CLOUD_INIT else ()))
        nodes[name] = NetbootNode(
            here / name, own, network=network, host_name=name, parameters=way.parameters, devices=devices
        )
    failed_before = request.session.testsfailed
    for node in nodes.values():
        node.power_on()
    yield nodes
    if request.session.testsfailed > failed_before:
        KEPT.mkdir(parents=True, exist_ok=True)
        for name, node in nodes.items():
            log = KEPT / f"netboot-{name}.log"
            shutil.copy(node.console, log)
            print(f"console and journal of {name} are kept in {log}")
    for node in nodes.values():
        node.destroy()


@pytest.fixture
def configured(nodes: Nodes, server: GitServer) -> Nodes:
    """Each is up, and has applied the server's newest commit."""
    newest = server.git("rev-parse", "HEAD")
    for node in nodes.values():
        node.wait_up()
        Agent(node).wait_applied(newest, seconds=BOOTS_WITHIN)
    return nodes


@pytest.fixture
def away(configured: Nodes, server: GitServer) -> Iterator[GitServer]:
    """The git server does not answer, until the test starts it again."""
    server.stop()
    yield server
    if not server.is_up:
        server.start()


@pytest.mark.parametrize("name", NAMES)
def test_nodes_that_boot_at_once_become_ready(
    name: str, nodes: Nodes, server: GitServer, say_time: Callable[[str], None]
) -> None:
    node = nodes[name]
    node.wait_up()
    node.wait_applied(server.git("rev-parse", "HEAD"))
    say_time(f"netboot: {name} was Ready {node.seconds_to_ready():.1f} s after its kernel had started")
    assert f"compute node {name}" in node.read("/etc/motd")
    assert node.exec("stat", "--file-system", "--format=%T", "/").strip() in {"tmpfs", "ramfs"}


def test_the_image_has_the_package_and_neither_pip_nor_compiler(configured: Nodes) -> None:
    node = configured[XCAT]
    assert node.exec("dpkg-query", "--show", "--showformat=${Status}", "nodeagent") == "install ok installed"
    told = node.exec("dpkg", "--verify", "nodeagent", check=False).splitlines()
    changed = {line.split()[-1] for line in told}
    assert {path for path in changed if not path.startswith("/usr/share/")} <= {"/etc/nodeagent/nodeagent.toml"}
    assert node.status_of("sh", "-c", "command -v gcc || python3 -c 'import pip' 2>/dev/null") != 0


def test_xcat_is_told_booted_and_its_log_has_no_password(configured: Nodes, server: GitServer) -> None:
    node = configured[XCAT]
    wait_until("xCAT is told", lambda: node.exists(xcat.STATUS))
    assert node.read(xcat.STATUS).strip() == "booted"
    assert "main@sha1:" in node.read(xcat.LOG)
    shown = ("sh", "-c", f"cat {xcat.LOG} /proc/[0-9]*/cmdline; journalctl --no-pager")
    assert server.password not in node.exec(*shown, check=False)


def test_cloud_init_ends_well(configured: Nodes) -> None:
    assert "status: done" in configured[CLOUD_INIT].exec("cloud-init", "status", "--wait", check=False)


@pytest.mark.parametrize("name", [SMBIOS, FW_CFG])
def test_the_password_in_the_firmware_is_all_that_a_node_needs(name: str, configured: Nodes) -> None:
    node = configured[name]
    assert not node.exists("/run/nodeagent.password")
    assert node.status_of("grep", "-rqs", "password", "/etc/nodeagent") == 1


def test_a_new_commit_comes_to_all_while_they_are_up(configured: Nodes, server: GitServer) -> None:
    (server.work / "files/sssd/sssd.conf").write_text("[sssd]\n")
    newest = server.commit("Another sssd.conf")
    for node in configured.values():
        node.wait_applied(newest)
        assert node.read("/etc/sssd/sssd.conf") == "[sssd]\n"


def test_a_password_that_the_nodes_own_tpm2_seals_is_opened_by_no_other_node(
    configured: Nodes, server: GitServer
) -> None:
    node, other = configured[CLOUD_INIT], configured[XCAT]
    enroll = ("nodeagent", "enroll", "systemd", "--with-key", "tpm2", "--password-file", "-")
    node.exec(*enroll, stdin=server.password + "\n")
    assert not node.exists("/var/lib/systemd/credential.secret")  # the key would be beside what it opens
    node.exec("sh", "-ec", "rm /run/nodeagent.password; systemctl daemon-reload; systemctl restart nodeagent.service")
    with (server.work / "files/motd").open("a") as motd:
        motd.write("sealed\n")
    newest = server.commit("Another motd")
    node.wait_applied(newest)
    other.wait_applied(newest)
    sealed = "/etc/credstore.encrypted/nodeagent.password"
    unseal = ("systemd-creds", "decrypt", "--name=nodeagent.password", "-", "-")
    content = node.read(sealed)
    assert node.exec(*unseal, stdin=content).strip() == server.password
    assert server.password not in other.exec(*unseal, stdin=content, check=False)


def test_a_reboot_forgets_everything_and_without_git_the_nodes_wait_for_it(
    configured: Nodes, away: GitServer, say_time: Callable[[str], None]
) -> None:
    ways = {name: configured[name] for name in (XCAT, CLOUD_INIT, FW_CFG)}
    for node in ways.values():
        node.exec("touch", "/root/left-behind")
        node.reboot()
    for node in ways.values():
        node.wait_up()
        assert not node.exists("/root/left-behind")
        Agent(node).wait_condition("Reconciling", "RemoteUnreachable", seconds=BOOTS_WITHIN)
        assert node.status_of("nodeagent", "ready") != 0
        assert not node.exists("/etc/munge/munge.key")
    assert not configured[XCAT].exists(xcat.STATUS)
    assert "status: running" in configured[CLOUD_INIT].exec("cloud-init", "status", check=False)

    away.start()
    for name, node in ways.items():
        node.wait_applied(away.git("rev-parse", "HEAD"))
        say_time(f"netboot: {name} was Ready again, without git at first, after {node.seconds_to_ready():.1f} s")
        assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1
    wait_until("xCAT is told", lambda: configured[XCAT].exists(xcat.STATUS))
    assert configured[XCAT].read(xcat.STATUS).strip() == "booted"
    assert "status: done" in configured[CLOUD_INIT].exec("cloud-init", "status", "--wait", check=False)
