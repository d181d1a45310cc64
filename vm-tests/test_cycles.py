"""What a node does while it is up: new commits, drift, steps that fail, a server that comes and goes."""

import pytest

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL


def replace(server: GitServer, path: str, old: str, new: str) -> None:
    file = server.work / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.usefixtures("commit")
def test_a_new_commit_is_applied(node: Node, server: GitServer, agent: Agent) -> None:
    replace(server, "files/sssd/sssd.conf", "enumerate = false", "enumerate = true")
    replace(server, "files/hosts/cluster", "10.10.0.3", "10.10.0.33")
    agent.wait_applied(server.commit("Move the file server"))
    assert "enumerate = true" in node.read("/etc/sssd/sssd.conf")
    assert node.exec("stat", "-c", "%a", "/etc/sssd/sssd.conf").strip() == "600"
    hosts = node.read("/etc/hosts")
    assert "10.10.0.33 nfs" in hosts
    assert "10.10.0.3 nfs" not in hosts
    assert hosts.count("mgmt.cluster.example") == 1


def test_a_commit_that_changes_only_documentation_runs_nothing(commit: str, server: GitServer, agent: Agent) -> None:
    ran = agent.log("postscripts").count("Running scratch /var/scratch...")
    (server.work / "README.md").write_text("Nothing for the nodes.\n")
    agent.wait_applied(server.commit("Explain"))
    assert agent.log("postscripts").count("Running scratch /var/scratch...") == ran == 1


@pytest.mark.usefixtures("commit")
def test_what_was_changed_or_removed_by_hand_is_put_back_and_nothing_is_run_for_it(
    node: Node, server: GitServer, agent: Agent
) -> None:
    wanted = node.read("/etc/sssd/sssd.conf")
    node.write("/etc/sssd/sssd.conf", "by hand\n")
    node.exec("rm", "/etc/slurm/prolog.d/50-scratch")
    node.exec("sed", "-i", "/cluster.example/d", "/etc/hosts")
    wait_until("the file is back", lambda: node.exists("/etc/slurm/prolog.d/50-scratch"))
    wait_until("the content is back", lambda: node.read("/etc/sssd/sssd.conf") == wanted)
    wait_until("the lines are back", lambda: "ldap.cluster.example" in node.read("/etc/hosts"))
    assert node.read("/etc/hosts").count("nfs.cluster.example") == 1
    server.wait_polls(2)
    assert agent.log("postscripts").count("Running scratch /var/scratch...") == 1


@pytest.mark.usefixtures("commit")
def test_a_failed_step_is_named_stays_failed_and_is_run_again_by_retry(
    node: Node, server: GitServer, agent: Agent
) -> None:
    broken = server.work / "postscripts/fabric"
    broken.write_text("#!/bin/sh\necho run >>/run/fabric\n[ -e /run/fabric-is-up ]\n")
    broken.chmod(0o755)
    with (server.work / "post.sh").open("a") as post:
        post.write("RUN fabric\n")
    server.commit("Wait for the fabric")
    wait_until("Degraded is true", lambda: agent.condition("Degraded"))
    assert any("fabric" in step for step in agent.status()["failed"])
    assert "fabric failed with error code 1" in agent.log("postscripts")
    server.wait_polls(2)
    assert node.read("/run/fabric").count("run") == 1
    node.exec("touch", "/run/fabric-is-up")
    node.exec("nodeagent", "apply", "--retry")
    wait_until("Degraded is over", lambda: agent.condition("Degraded") is None)
    assert node.read("/run/fabric").count("run") == 2


def test_with_the_server_gone_the_last_good_revision_is_enforced(
    commit: str, node: Node, server: GitServer, agent: Agent
) -> None:
    server.stop()
    wanted = node.read("/etc/sssd/sssd.conf")
    node.write("/etc/sssd/sssd.conf", "by hand\n")
    wait_until("the content is back", lambda: node.read("/etc/sssd/sssd.conf") == wanted, seconds=60)
    assert agent.applied() == commit
    replace(server, "files/sssd/sssd.conf", "enumerate = false", "enumerate = true")
    newer = server.commit("While nobody could fetch")
    server.start()
    agent.wait_applied(newer, seconds=60)


def test_a_server_that_is_down_at_boot_is_asked_again_until_it_answers(
    node: Node, server: GitServer, agent: Agent
) -> None:
    node.boot(credentials={CREDENTIAL: server.password})
    said = wait_until("the trouble is told", lambda: [line for line in agent.log("nodeagent") if "127.0.0.1" in line])
    assert "refused" in said[0].lower() or "connect" in said[0].lower()
    assert agent.condition("Ready") is None
    assert agent.condition("Stalled") is None
    server.start()
    agent.wait_applied(server.git("rev-parse", "HEAD"), seconds=60)
    agent.wait_ready()


@pytest.mark.usefixtures("commit")
def test_what_a_postscript_mounts_is_mounted_for_the_whole_node(node: Node, server: GitServer, agent: Agent) -> None:
    script = server.work / "postscripts/mount-apps"
    script.write_text("#!/bin/sh -e\nmkdir -p /opt/apps\nmount -t tmpfs apps /opt/apps\ntouch /opt/apps/here\n")
    script.chmod(0o755)
    with (server.work / "post.sh").open("a") as post:
        post.write("RUN mount-apps\n")
    agent.wait_applied(server.commit("Mount the applications"))
    assert node.exists("/opt/apps/here")
