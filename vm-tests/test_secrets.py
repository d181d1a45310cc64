"""A password and a key that can be told from all else, under the real unit: where they stand, and where not."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import documents, marks
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.marks import Marks, Watch
from testbed.node import Node
from testbed.site import CREDENTIAL, configure

KEY_CREDENTIAL = "nodeagent.key"
SETTINGS = 'interval = 2\njitter = 0\nretry_delay = 2\nargs = ["compute"]\n'
KEPT = re.compile(r"/run/nodeagent/private/deploy_key\.[0-9-]+")
NOT_WRITTEN = {"proc", "sys", "dev"}
SOURCES = {
    "credential": {
        "/run/credentials/nodeagent.service/nodeagent.password",
        "/run/credentials/@system/nodeagent.password",
    },
    "key": {"/run/credentials/nodeagent.service/nodeagent.key", "/run/credentials/@system/nodeagent.key"},
    "sealed": {"/run/credentials/nodeagent.service/nodeagent.key"},
    "command": {"/run/vault"},
    "wrong": {"/run/credentials/nodeagent.service/nodeagent.password", "/run/credentials/@system/nodeagent.password"},
}
"""Each with the files in which systemd or the test itself keeps the secret."""


class Machine:
    """The machine as the kernel of the one around it sees it."""

    def __init__(self, node: Node) -> None:
        self._namespace = os.readlink(f"/proc/{node.leader}/ns/pid")
        self.root = Path(f"/proc/{node.leader}/root")
        self._begun = Path(f"/proc/{node.leader}").stat().st_ctime

    def has(self, pid: int) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/ns/pid") == self._namespace
        except OSError:
            return False

    def outside(self, inside: int) -> int:
        """The process id here of one there."""
        for pid in filter(self.has, map(int, filter(str.isdigit, os.listdir("/proc")))):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            if int(next(line for line in status if line.startswith("NSpid:")).split()[-1]) == inside:
                return pid
        raise ProcessLookupError(inside)

    def written(self, looked_for: Marks) -> dict[str, set[str]]:
        """The files that were written since the machine came up and hold a secret."""

        def skip(path: Path) -> bool:
            if path.parent == self.root:
                return path.name in NOT_WRITTEN
            return path.is_file() and path.lstat().st_ctime < self._begun

        return {
            f"/{path.relative_to(self.root)}": held for path, held in looked_for.below(self.root, skip=skip).items()
        }


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def looked_for(source: str, server: GitServer) -> Marks:
    private, public = ((server.directory / name).read_bytes() for name in ("key", "key.pub"))
    secrets = [server.password.encode(), *([b"not-" + server.password.encode()] if source == "wrong" else [])]
    return Marks({"password": secrets, "key": marks.forms_of_key(private, public)})


@pytest.fixture
def watch(source: str, node: Node, server: GitServer, looked_for: Marks) -> Iterator[Watch]:
    """The machine is up with its secret from there; its processes are watched."""
    credentials = {
        "credential": {CREDENTIAL: server.password},
        "key": {KEY_CREDENTIAL: (server.directory / "key").read_text()},
        "sealed": {},
        "command": {},
        "wrong": {CREDENTIAL: "not-" + server.password},
    }[source]
    if source == "command":
        configure(node.seed, server, settings=SETTINGS + '[password]\ncommand = ["cat", "/run/vault"]')
        at_boot = node.seed / "etc/tmpfiles.d/vault.conf"
        at_boot.parent.mkdir()
        at_boot.write_text(f"f /run/vault 0600 root root - {server.password}\n")
    if source in {"key", "sealed"}:
        (node.seed / "etc/nodeagent/key.enc").unlink()
    server.start()
    node.boot(credentials=credentials)
    if source == "sealed":  # as docs/source.md has it
        seal(node, (server.directory / "key").read_text())
    machine = Machine(node)
    with Watch(looked_for, machine.has) as watching:
        yield watching


def seal(node: Node, key: str) -> None:
    """Keep the key on the machine's disk, in a form that only this machine can open."""
    commands = documents.commands("docs/source.md", "seal")
    assert "systemd-creds encrypt" in commands
    node.exec("sh", "-ec", commands, "sh", stdin=key)


def test_a_secret_stands_only_where_it_was_given_and_the_key_where_it_is_kept(
    source: str, watch: Watch, node: Node, server: GitServer, agent: Agent
) -> None:
    looked_for = watch.marks
    if source == "wrong":
        agent.wait_condition("Stalled", "WrongPassword")
    else:
        agent.wait_applied(server.git("rev-parse", "HEAD"))
    machine = Machine(node)
    node.exec("systemctl", "log-level", "debug")
    node.exec("systemctl", "restart", "nodeagent.service")
    if source == "wrong":
        agent.wait_condition("Stalled", "WrongPassword")
    else:
        (server.work / "files/motd").write_text("News\n")
        agent.wait_applied(server.commit("News"))

    written = machine.written(looked_for)
    kept = {path for path in written if KEPT.fullmatch(path)}
    assert len(kept) == (source in {"credential", "command"})
    for path in kept:
        assert node.exec("stat", "-c", "%a %U", path).split() == ["400", "root"]
        assert node.exec("stat", "--file-system", "-c", "%T", path).strip() in {"tmpfs", "ramfs"}
    assert written.keys() - kept <= SOURCES[source]
    assert written.keys() & SOURCES[source], "it was looked for in the right way"
    assert looked_for.in_bytes(marks.memory_of(machine.outside(agent.main_process()))) == set()
    journal = node.exec("journalctl", "--all", "--no-pager", "--output=export")
    assert "PRIORITY=7" in journal
    assert looked_for.in_bytes(journal.encode()) == set()
    assert watch.found == set()
    assert any(b"nodeagent\0run" in text for text in watch.seen)

    node.exec("systemctl", "stop", "nodeagent.service")
    assert machine.written(looked_for).keys() <= SOURCES[source]


def test_a_credential_in_a_unit_file_can_be_read_by_every_user_as_check_config_says(
    node: Node, server: GitServer
) -> None:
    drop_in = node.seed / "etc/systemd/system/nodeagent.service.d/password.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(f"[Service]\nSetCredential={CREDENTIAL}:{server.password}\n")
    drop_in.chmod(0o600)
    node.boot()
    asked = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1/unit/nodeagent_2eservice")
    shown = node.exec(
        *("setpriv", "--reuid=nobody", "--clear-groups", "busctl", "get-property", *asked),
        *("org.freedesktop.systemd1.Service", "SetCredential"),
    )
    assert " ".join(str(octet) for octet in server.password.encode()) in shown
    assert "every user can ask systemd for it over D-Bus" in node.exec(
        "sh", "-c", "nodeagent check-config 2>&1", check=False
    )
