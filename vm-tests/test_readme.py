"""The commands that the documents give to administrators, typed on a machine as they stand there."""

import json
import shutil
from pathlib import Path

from testbed import documents
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/compute-configs"


def typed(node: Node, document: str, name: str, *, here: str = "/", instead: dict[str, str] | None = None) -> str:
    """Run a document's commands in the directory ``here``, with some words replaced by those of the test's own site."""
    text = documents.commands(document, name)
    for old, new in (instead or {}).items():
        assert old in text
        text = text.replace(old, new)
    return node.exec("sh", "-exc", text, "sh") if here == "/" else node.exec("sh", "-exc", f"cd {here}\n{text}", "sh")


def bring_example(node: Node, target: Path) -> None:
    shutil.copytree(EXAMPLE, node.seed / target, dirs_exist_ok=True)


def test_configure_and_look(node: Node, server: GitServer, agent: Agent) -> None:
    shutil.rmtree(node.seed / "etc/nodeagent")
    server.start()
    node.boot()
    node.exec("systemctl", "stop", "nodeagent.service")
    site = {"git@git.cluster.example:2222/site/compute-configs.git": f"root@127.0.0.1:{server.port}{server.bare}"}
    typed(node, "README.md", "configure", instead={**site, " git.cluster.example": " 127.0.0.1"})
    server.admit(node.read("/run/key.pub"))
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    told = typed(node, "README.md", "look")
    assert "nodeagent.service" in told
    assert "Running scratch /var/scratch..." in told
    assert "Ready" in told
    assert typed(node, "README.md", "plan").count("0 destinations would change (9 unchanged), 0 steps would run") == 2


def test_apply_a_directory(node: Node) -> None:
    bring_example(node, Path("root/examples/compute-configs"))
    node.boot()
    typed(node, "README.md", "apply", here="/root")
    assert "mgmt.cluster.example" in node.read("/etc/hosts")


def test_the_agent_leaves_what_the_shell_leaves_and_then_changes_nothing(node: Node) -> None:
    bring_example(node, Path("root/compute-configs"))
    node.boot()
    shell, agent = documents.commands("examples/compute-configs/README.md", "both").splitlines()
    node.exec("sh", "-c", f"cd /root/compute-configs && {shell}")
    after_shell = state(node)
    node.exec("sh", "-c", f"cd /root/compute-configs && {agent}")
    assert state(node) == after_shell
    again = agent.partition("#")[0].replace("nodeagent apply", "nodeagent apply --json")
    told = json.loads(node.exec("sh", "-c", f"cd /root/compute-configs && {again}"))
    done = {change for change, count in told["counts"].items() if count}
    assert done <= {"unchanged", "skipped"}, told["steps"]
    assert state(node) == after_shell


def state(node: Node) -> str:
    """Path, mode, owner and content of everything below the places that the example writes to."""
    files = "find /etc /root /var/scratch -path /root/compute-configs -prune -o"
    listing = f"{files} -printf '%p %m %U:%G %l\\n' | sort"
    content = f"{files} -type f -print0 | sort -z | xargs -0 sha256sum"
    return node.exec("sh", "-c", f"{listing}; {content}")
