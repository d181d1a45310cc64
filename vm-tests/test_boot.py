"""What a node does by itself when it comes up."""

import json

import pytest

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.site import CREDENTIAL, configure


@pytest.mark.usefixtures("commit")
def test_a_first_boot_leaves_the_node_as_the_repository_says(node: Node, server: GitServer, agent: Agent) -> None:
    assert node.read("/etc/sssd/sssd.conf") == (server.work / "files/sssd/sssd.conf").read_text()
    assert node.exec("stat", "-c", "%a %U", "/etc/munge/munge.key").split() == ["400", "root"]
    assert node.exec("stat", "-c", "%a", "/etc/slurm/prolog.d/50-scratch").strip() == "755"
    assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1
    assert "compute node compute-001" in node.read("/etc/motd")
    assert node.exec("systemctl", "is-active", "ssh.service").strip() == "active"
    assert agent.condition("Ready")
    assert agent.condition("Stalled") is None
    assert agent.condition("Degraded") is None


def test_systemctl_status_names_revision_condition_and_next_poll(commit: str, node: Node, agent: Agent) -> None:
    assert agent.property("ActiveState") == "active"
    text = agent.property("StatusText")
    assert commit[:7] in text
    assert "Ready" in text
    assert "next poll" in text.lower()
    assert text in node.exec("systemctl", "status", "nodeagent.service", "--no-pager")


def test_nodeagent_status_says_in_words_and_json_what_the_service_says(commit: str, node: Node) -> None:
    assert commit[:7] in node.exec("nodeagent", "status")
    told = json.loads(node.exec("nodeagent", "status", "--json"))
    assert told["schema"] == 1
    assert told["revision"]["applied"] == f"main@sha1:{commit}"
    assert {"type", "status", "reason", "message", "since"} <= set(told["conditions"][0])


def test_the_journal_has_each_step_with_the_guides_words_and_the_fields(commit: str, agent: Agent) -> None:
    log = agent.log("postscripts")
    assert "Running scratch /var/scratch..." in log
    assert "scratch is /var/scratch" in log
    assert "scratch /var/scratch exited with code 0" in log
    assert any("/etc/sssd/sssd.conf" in line for line in log)
    steps = [entry for entry in agent.entries("postscripts") if "NODEAGENT_STEP" in entry]
    assert {entry["NODEAGENT_PHASE"] for entry in steps if "NODEAGENT_PHASE" in entry} >= {"COPY", "APPEND", "EXECUTE"}
    said = next(entry for entry in steps if entry["MESSAGE"] == "scratch /var/scratch exited with code 0")
    assert commit in said["NODEAGENT_REVISION"]
    assert int(said["NODEAGENT_LINE"]) > 0
    assert said["EXIT_STATUS"] == "0"
    assert int(said["DURATION_USEC"]) > 0
    ended = next(e for e in steps if e["NODEAGENT_STEP"] == said["NODEAGENT_STEP"] and "NODEAGENT_CHANGE" in e)
    assert ended["EXIT_STATUS"] == "0"
    assert ended["NODEAGENT_CHANGE"] == "executed"
    assert int(ended["DURATION_USEC"]) > 0


@pytest.mark.usefixtures("commit")
def test_journalctl_explains_the_entries(node: Node) -> None:
    explained = node.exec("journalctl", "--catalog", "--identifier", "postscripts", "--no-pager")
    assert "Subject: " in explained


@pytest.mark.usefixtures("commit")
def test_no_secret_reaches_the_journal_the_disk_or_a_command_line(node: Node, server: GitServer) -> None:
    journal = node.exec("journalctl", "--no-pager", "--output=export")
    command_lines = node.exec("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'")
    for secret in (server.password, server.private_key_line):
        assert secret not in journal
        assert secret not in command_lines
        everywhere = ("grep", "--recursive", "--files-with-matches", "--fixed-strings", secret)
        assert node.exec(*everywhere, "/etc", "/var", "/root", "/tmp", "/configs", check=False) == ""


@pytest.mark.usefixtures("commit")
def test_cycles_with_no_news_write_nothing(node: Node, server: GitServer, agent: Agent) -> None:
    before = agent.log("postscripts"), agent.log("nodeagent"), node.read("/etc/hosts")
    server.wait_polls(3)
    assert (agent.log("postscripts"), agent.log("nodeagent"), node.read("/etc/hosts")) == before


@pytest.mark.usefixtures("commit")
def test_a_reboot_runs_every_step_again_and_appends_nothing_twice(node: Node, server: GitServer, agent: Agent) -> None:
    node.reboot(credentials={CREDENTIAL: server.password})
    agent.wait_ready()
    assert "Running scratch /var/scratch..." in agent.log("postscripts")
    assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1
    assert node.read("/root/.ssh/authorized_keys").count("operator") == 1


@pytest.mark.usefixtures("commit")
def test_a_node_whose_disk_is_memory_is_configured_anew_at_each_boot(
    node: Node, server: GitServer, agent: Agent
) -> None:
    node.reboot(lose_disk=True, credentials={CREDENTIAL: server.password})
    agent.wait_ready()
    assert node.read("/etc/hosts").count("mgmt.cluster.example") == 1
    assert "compute node" in node.read("/etc/motd")


def test_where_the_first_start_only_observes_nothing_is_touched_until_adopt(
    node: Node, server: GitServer, agent: Agent
) -> None:
    configure(node.seed, server, settings='interval = 2\nfirst_start = "observe"\nargs = ["compute"]')
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    server.wait_polls(2)
    assert agent.status()["mode"] == "observing"
    assert not node.exists("/etc/munge/munge.key")
    node.exec("nodeagent", "adopt")
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    assert node.exists("/etc/munge/munge.key")
    assert not node.exists("/var/scratch")  # what would have run counts as done


def test_the_password_may_lie_in_a_root_only_file_on_tmpfs(node: Node, server: GitServer, agent: Agent) -> None:
    at_boot = node.seed / "etc/tmpfiles.d/password.conf"
    at_boot.parent.mkdir()
    at_boot.write_text(f"f /run/nodeagent.password 0600 root root - {server.password}\n")
    server.start()
    node.boot()
    agent.wait_applied(server.git("rev-parse", "HEAD"))
