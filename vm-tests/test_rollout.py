"""docs/rollout.md, as it stands there: to all nodes by way of some, what one changed line runs, and back."""

import re
from collections.abc import Callable
from pathlib import Path

from testbed import documents
from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL

DOCUMENT = "docs/rollout.md"
STEPS = {
    "plain": "",
    "on": "# nodeagent: on=/etc/slurm",
    "boot": "# nodeagent: boot",
    "always": "# nodeagent: always",
}
HEAD = """\
#!/bin/sh
COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -a "$1" "$2"
}
cd "$(dirname "$0")" || exit 1
COPY files/slurm.conf /etc/slurm/slurm.conf
COPY files/motd /etc/motd
"""


def typed(node: Node, name: str) -> str:
    return node.exec("sh", "-exc", documents.commands(DOCUMENT, name), "sh")


def test_a_node_observes_then_goes_and_can_go_back(node: Node, server: GitServer, agent: Agent) -> None:
    server.start()
    observe = node.seed / "etc/nodeagent/nodeagent.toml.d/50-rollout.toml"
    observe.parent.mkdir()
    observe.write_text('mode = "observe"\n')
    node.boot(credentials={CREDENTIAL: server.password})
    wait_until("it says what it would do", lambda: agent.status().get("pending"))
    typed(node, "observe")
    told = typed(node, "look")
    assert "/etc/sssd/sssd.conf" in told
    assert not Path(node.seed, "etc/sssd/sssd.conf").exists()
    node.write("/root/by-the-script", "")
    typed(node, "go")
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    assert node.read("/etc/sssd/sssd.conf")
    assert "Running scratch" not in "\n".join(agent.log("postscripts"))  # adopted: no step ran
    typed(node, "back")
    assert agent.property("ActiveState") == "inactive"
    assert node.read("/etc/sssd/sssd.conf")


def test_some_nodes_have_a_commit_before_the_others(node: Node, server: GitServer, agent: Agent, commit: str) -> None:
    typed(node, "canary")
    agent.wait_condition("Stalled", "ReferenceNotFound")
    server.git("push", "--quiet", "origin", "HEAD:canary")
    (server.work / "files/munge/munge.key").write_text("another\n")
    server.git("commit", "--quiet", "--all", "--message=Try another key")
    tried = server.git("rev-parse", "HEAD")
    server.git("push", "--quiet", "origin", "HEAD:canary")
    agent.wait_applied(tried)
    server.git("revert", "--no-edit", "HEAD")
    server.git("push", "--quiet", "origin", "HEAD:main", "HEAD:canary")
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    server.git("push", "--quiet", "--force", "origin", f"{commit}:canary")
    agent.wait_condition("Stalled", "NonFastForward")


def table() -> dict[str, set[str]]:
    """The rows of the document's last table: the change, and the annotations of the steps that it runs."""
    rows = re.findall(r"^\| (.+) \|$", (documents.PROJECT / DOCUMENT).read_text(), re.M)
    head, *changes = [[cell.strip() for cell in row.split("|")] for row in rows[-7:]]
    assert head[0] == "the commit changes"
    return {change: {word for word, cell in zip(STEPS, cells, strict=True) if cell} for change, *cells in changes}


class Site:
    """A repository with one step of each kind; the steps say in a file that they ran."""

    def __init__(self, node: Node, server: GitServer, agent: Agent) -> None:
        self._node = node
        self._server = server
        self._agent = agent
        self._texts = 0
        self.changes: dict[str, Callable[[], None]] = {
            "a file that is copied to `/etc/slurm`": lambda: self.commit("files/slurm.conf"),
            "a file that is copied elsewhere": lambda: self.commit("files/motd"),
            "only `README.md` (or `*.md`, `LICENSE`, `.github/`, `ignore`)": lambda: self.commit("README.md"),
            "the text of the step itself": self.commit_other_steps,
            "nothing; the file in `/etc/slurm` was changed by hand": self.change_by_hand,
            "nothing; the node boots": self.boot_again,
        }

    def write(self) -> str:
        """A commit of post.sh as it is now."""
        steps = (f"sh -c 'echo {word} >>/root/ran.log; : {self._texts}'  {said}\n" for word, said in STEPS.items())
        (self._server.work / "post.sh").write_text(HEAD + "".join(steps))
        return self._server.commit("Have a step of each kind")

    def commit(self, name: str) -> None:
        path = self._server.work / name
        path.write_text((path.read_text() if path.exists() else "") + "another line\n")
        self._agent.wait_applied(self._server.commit(f"Change {name}"))

    def commit_other_steps(self) -> None:
        self._texts += 1
        self._agent.wait_applied(self.write())

    def change_by_hand(self) -> None:
        self._node.write("/etc/slurm/slurm.conf", "by hand\n")
        wait_until("it is put back", lambda: self._node.read("/etc/slurm/slurm.conf") != "by hand\n")

    def boot_again(self) -> None:
        self._node.reboot(credentials={CREDENTIAL: self._server.password})
        self._agent.wait_ready()

    def ran(self) -> set[str]:
        """The steps that ran since the last call, once the evaluation is over."""
        wait_until(
            "the evaluation is over",
            lambda: '"finished": true' in self._node.exec("nodeagent", "history", "--json", "-n1"),
        )
        return set(self._node.exec("sh", "-c", "cat /root/ran.log; rm -f /root/ran.log").split())


def test_the_table_says_which_steps_a_change_runs_again(node: Node, server: GitServer, agent: Agent) -> None:
    server.start()
    for name in ("slurm.conf", "motd"):
        (server.work / "files" / name).write_text("one line\n")
    site = Site(node, server, agent)
    newest = site.write()
    node.boot(credentials={CREDENTIAL: server.password})
    agent.wait_applied(newest)
    assert site.ran() == set(STEPS)
    rows = table()
    assert rows.keys() == site.changes.keys()
    for change, make in site.changes.items():
        make()
        assert site.ran() == rows[change], change
