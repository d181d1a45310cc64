"""Nodes that are brought to nodeagent, with a real systemd; and docs/migration.md, typed as it stands there."""

import shutil
from pathlib import Path

import pytest

from testbed import documents, xcat
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/compute-configs"
# The evaluation stands still, so that one can look around.
WAITING = "\ntouch /run/in-post\nuntil test -e /run/go; do sleep 0.1; done\n"
OLD_SCRIPT = """#!/bin/sh -x
cat <<END >/key.enc
{key}END
echo "$1" | openssl aes-256-cbc -d -a -pbkdf2 -in /key.enc -out /key -pass stdin
git clone {url} /configs
if [ -x /configs/post.sh ]; then cd /configs && ./post.sh; fi
rm -f /key /key.env
chmod -R g-rwx,o-rwx .
"""


@pytest.fixture
def stateless(node: Node, server: GitServer) -> Node:
    """A node as xCAT boots it: no credential; its repository still carries the script that nodeagent replaces."""
    script = server.work / "git-config-execute.sh"
    script.write_text(OLD_SCRIPT.format(key=server.encrypted_key.read_text(), url=server.url))
    script.chmod(0o755)
    server.commit("Keep the script of before")
    xcat.manage(node.seed)
    return node


def enrolled(node: Node, *words: str, stdin: str = "") -> str:
    """Enrol the osimage on the machine, and put the postbootscript where xCAT downloads it to; the entries."""
    definition = node.exec("nodeagent", "enroll", "xcat", "--osimage", xcat.IMAGE, *words, stdin=stdin)
    node.exec("cp", "-a", "/install/postscripts", "/xcatpost")
    lines = (line.strip().partition("=") for line in definition.splitlines())
    return next(value for name, _, value in lines if name == "postbootscripts")


def boot_by_xcat(node: Node, postbootscripts: str) -> None:
    """Let xCAT's own unit run the postbootscripts, and do not wait."""
    node.exec("rm", "-f", xcat.STATUS)
    node.write("/xcatpost/mypostscript", xcat.mypostscript(postbootscripts))
    node.exec("chmod", "700", "/xcatpost/mypostscript")
    node.exec("systemd-run", "--collect", f"--unit={xcat.UNIT}", "/xcatpost/mypostscript")


def status_in_xcat(node: Node) -> str:
    wait_until("xCAT has a status", lambda: node.exists(xcat.STATUS), seconds=60)
    return node.read(xcat.STATUS).strip()


def test_xcat_boots_a_node_and_its_password_is_seen_nowhere(stateless: Node, server: GitServer, agent: Agent) -> None:
    with (server.work / "post.sh").open("a") as post:
        post.write(WAITING)
    newest = server.commit("Wait")
    server.start()
    stateless.boot()
    agent.wait_condition("Stalled", "PasswordUnavailable")

    entries = enrolled(stateless, "--password-file", "-", stdin=server.password + "\n")
    assert entries == f"nodeagent-boot {server.password}"
    boot_by_xcat(stateless, entries)
    wait_until("post.sh runs", lambda: stateless.exists("/run/in-post"), seconds=60)
    shown = stateless.exec("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert "nodeagent-boot" in shown, "the script waits for the node"
    assert not stateless.exists(xcat.STATUS), "xCAT says nothing yet"
    stateless.exec("touch", "/run/go")

    assert status_in_xcat(stateless) == "booted"
    assert agent.applied() == newest
    assert f"main@sha1:{newest}" in stateless.read(xcat.LOG)
    journal = stateless.exec("journalctl", "--all", "--output=json", "--no-pager")
    assert "xcat.deployment.postbootscript" in journal
    for place in (shown, journal, stateless.read(xcat.LOG)):
        assert server.password not in place
    found = stateless.exec("grep", "-rlF", server.password, "/run", "/etc", "/var", "/tmp", "/root", check=False)
    assert found.split() == ["/run/nodeagent.password"]
    assert stateless.exec("stat", "-c", "%a %U", "/run/nodeagent.password").split() == ["600", "root"]


def test_xcat_says_failed_until_the_node_is_configured(stateless: Node, server: GitServer) -> None:
    stateless.boot()
    entries = enrolled(stateless, "--password-file", "-", "--timeout", "1", stdin=server.password + "\n")
    boot_by_xcat(stateless, entries)
    assert status_in_xcat(stateless) == "failed"
    assert "not ready after 1 s" in stateless.read(xcat.LOG)

    server.start()
    entries = enrolled(stateless, "--password-file", "-", stdin=server.password + "\n")
    boot_by_xcat(stateless, entries)
    assert status_in_xcat(stateless) == "booted"


def test_the_way_from_the_script_to_nodeagent_and_back(stateless: Node, server: GitServer, agent: Agent) -> None:
    shutil.copytree(EXAMPLE, stateless.seed / "compute-configs", dirs_exist_ok=True)
    (stateless.seed / "root").mkdir()
    shutil.copy(server.encrypted_key, stateless.seed / "root/key.enc")
    shutil.rmtree(stateless.seed / "etc/nodeagent")
    server.start()
    stateless.boot()
    stateless.exec("systemctl", "stop", "nodeagent.service")
    site = {"git@git.cluster.example:2222/site/compute-configs.git": f"root@127.0.0.1:{server.port}{server.bare}"}
    password = server.password + "\n"

    typed(stateless, "lint")
    told = typed(stateless, "gather", stdin=password, instead={**site, " git.cluster.example": " 127.0.0.1"})
    assert [line.split()[0] for line in told.splitlines()] == ["ok"] * 8
    stateless.exec(
        "sh", "-c", "cp /install/custom/nodeagent/nodeagent.toml /install/custom/nodeagent/known_hosts /root"
    )
    assert "would change" in typed(stateless, "look", stdin=password)
    stateless.exec("rm", "-r", "/etc/nodeagent", "/run/nodeagent.password")

    before = stateless.read(f"/install/{xcat.IMAGE}.stanza")
    stateless.write("/run/typed", password)
    typed(stateless, "enrol")
    stanza = stateless.read(f"/install/{xcat.IMAGE}.stanza")
    assert "postbootscripts=otherpkgs,nodeagent-boot\n" in stanza
    assert server.password not in stanza
    assert stateless.read("/run/nodeagent.password") == password
    typed(stateless, "boot")
    # What booting the image would bring, and xCAT's syncfiles.
    synced = stateless.read("/install/custom/nodeagent/nodeagent.synclist").splitlines()[-1]
    assert synced == "/run/nodeagent.password -> /run/nodeagent.password"
    stateless.exec("sh", "-ec", "cp -a /install/rootimg/etc/nodeagent /etc/; cp -a /install/postscripts /xcatpost")
    boot_by_xcat(stateless, "nodeagent-boot")
    assert status_in_xcat(stateless) == "booted"
    assert agent.applied() in typed(stateless, "booted")

    typed(stateless, "stop")
    assert not stateless.exists("/configs")
    assert stateless.exists("/etc/hosts")
    typed(stateless, "back")
    assert stateless.read(f"/install/{xcat.IMAGE}.stanza") == before
    assert stateless.read("/install/custom/netboot/compute.postinstall") == ""

    typed(stateless, "cloud-init")
    assert stateless.read("/user-data").startswith("#cloud-config\n")


def test_a_node_with_a_disk_keeps_the_password_for_itself(node: Node, server: GitServer, agent: Agent) -> None:
    server.start()
    node.boot()
    agent.wait_condition("Stalled", "PasswordUnavailable")
    typed(node, "disk", stdin=server.password + "\n")
    agent.wait_ready()
    found = node.exec("grep", "-rlF", server.password, "/etc", "/var", "/root", "/run", check=False)
    assert [path for path in found.split() if not path.startswith("/run/credentials/")] == []
    node.reboot()
    agent.wait_ready()


def typed(node: Node, name: str, *, stdin: str = "", instead: dict[str, str] | None = None) -> str:
    """Run a block of docs/migration.md, with some words replaced by those of the test's own site."""
    text = documents.commands("docs/migration.md", name)
    for old, new in (instead or {}).items():
        assert old in text
        text = text.replace(old, new)
    return node.exec("sh", "-ec", f"cd /\n{text}", "sh", stdin=stdin)
