"""A node that says when it is configured, and a service that waits for it without anything waiting for the service."""

from pathlib import Path

import pytest

from testbed import documents
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import run, wait_until
from testbed.site import CREDENTIAL

PROJECT = Path(__file__).resolve().parent.parent
SLURMD = """[Unit]
Description=A stand-in
[Service]
ExecStart=sleep infinity
ExecStartPre=sh -c 'echo started >>/run/slurmd.starts'
[Install]
WantedBy=multi-user.target
"""
# Starts it, restarts it, and says how it stood then.
POST = """
systemctl start slurmd.service
systemctl restart slurmd.service
systemctl is-active slurmd.service >/run/slurmd.in-post || :
"""


@pytest.fixture
def gated(node: Node, server: GitServer) -> GitServer:
    """A machine with slurmd, the gate of the example, and a repository whose post.sh starts slurmd."""
    units = node.seed / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "slurmd.service").write_text(SLURMD)
    (units / "multi-user.target.wants/slurmd.service").symlink_to("/etc/systemd/system/slurmd.service")
    copy, _ = documents.commands("examples/ready-gate/README.md", "gate").splitlines()  # no reload before the boot
    run(["sh", "-ec", copy.replace("/etc/systemd/system/", f"{units}/")], cwd=PROJECT)
    with (server.work / "post.sh").open("a") as post:
        post.write(POST)
    server.commit("Start slurmd")
    return server


def test_a_service_waits_for_the_node_and_post_sh_may_start_it(gated: GitServer, node: Node, agent: Agent) -> None:
    gated.start()
    node.boot(credentials={CREDENTIAL: gated.password})
    agent.wait_ready()
    wait_until("the target is reached", lambda: _is_active(node, "nodeagent-ready.target"))
    wait_until("slurmd runs", lambda: _is_active(node, "slurmd.service"))
    assert node.read("/run/slurmd.in-post").strip() == "inactive"
    assert node.read("/run/slurmd.starts").splitlines() == ["started"]
    revision = node.exec("nodeagent", "ready").strip()
    assert revision == f"main@sha1:{agent.applied()}"
    (gated.work / "files/motd").write_text("another tree\n")
    newest = gated.commit("Another tree")
    assert newest in node.exec("nodeagent", "ready", "--wait", "--timeout", "60", "--revision", newest)
    assert node.read("/run/slurmd.in-post").strip() == "active"


def test_a_boot_without_git_is_held_up_by_nothing(gated: GitServer, node: Node, agent: Agent) -> None:
    node.boot(credentials={CREDENTIAL: gated.password})
    assert _is_active(node, "multi-user.target")
    assert not _is_active(node, "slurmd.service")
    assert node.status_of("nodeagent", "ready") == 1
    assert node.status_of("nodeagent", "ready", "--wait", "--timeout", "0.5") == 1
    gated.start()
    assert "main@sha1:" in node.exec("nodeagent", "ready", "--wait", "--timeout", "60")
    wait_until("slurmd runs", lambda: _is_active(node, "slurmd.service"))
    assert agent.condition("Ready")


@pytest.mark.parametrize(("require", "ready"), [("end", True), ("all-steps", False)])
def test_a_failed_step_leaves_a_node_degraded_and_ready_unless_all_must_succeed(
    gated: GitServer, node: Node, agent: Agent, *, require: str, ready: bool
) -> None:
    with (gated.work / "post.sh").open("a") as post:
        post.write("\nsystemctl start there-is-none.service\n")
    gated.commit("Fail")
    drop_ins = node.seed / "etc/nodeagent/nodeagent.toml.d"
    drop_ins.mkdir()
    (drop_ins / "ready.toml").write_text(f'[ready]\nrequire = "{require}"\n')
    gated.start()
    node.boot(credentials={CREDENTIAL: gated.password})
    wait_until("Degraded", lambda: agent.condition("Degraded"))
    assert (node.status_of("nodeagent", "ready") == 0) is ready
    assert (agent.condition("Ready") is not None) is ready
    if ready:
        wait_until("slurmd runs", lambda: _is_active(node, "slurmd.service"))
    else:
        assert not _is_active(node, "slurmd.service")


def test_who_gives_it_little_time_is_told_why_in_little_time(gated: GitServer, node: Node) -> None:
    node.boot(credentials={CREDENTIAL: gated.password})
    told = node.exec("sh", "-c", "nodeagent ready 2>&1", check=False)
    assert told.startswith("nodeagent: not ready: NotYetApplied: ")


def _is_active(node: Node, unit: str) -> bool:
    return node.exec("systemctl", "is-active", unit, check=False).strip() == "active"
