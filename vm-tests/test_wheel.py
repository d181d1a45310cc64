"""nodeagent as README.md installs it from its wheel: a node comes to the same as with a package."""

from pathlib import Path

import pytest

from nodeagent import __version__
from testbed import wheel
from testbed.agent import Agent
from testbed.node import Node


@pytest.fixture(scope="session")
def layers(able: None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Instead of the layers with the package."""
    return wheel.layers(tmp_path_factory.mktemp("wheel"))


def test_a_node_with_the_wheel_is_configured_at_boot_and_says_so(node: Node, agent: Agent, commit: str) -> None:
    assert agent.status()["version"] == __version__
    assert "compute node compute-001" in node.read("/etc/motd")
    assert f"main@sha1:{commit}" in node.exec("nodeagent", "ready", "--wait", "--timeout", "60")
    assert "Subject: " in node.exec("journalctl", "--catalog", "--identifier", "postscripts", "--no-pager")
    assert node.exec("systemctl", "is-enabled", "nodeagent.service").strip() == "enabled"
    assert node.exec("stat", "-c", "%a %U", "/var/lib/nodeagent").split() == ["700", "root"]
    assert "nodeagent" in node.exec("getent", "passwd", "nodeagent")
