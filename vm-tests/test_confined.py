"""Code in the place of the fetch worker's own, under the real unit, with the sockets of systemd, journald and D-Bus."""

import json
import shutil
from pathlib import Path

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.node import Node
from testbed.programs import wait_until
from testbed.site import CREDENTIAL

ATTACKS = Path(__file__).resolve().parent.parent / "tests/integration/attacks.py"
DAEMON = """\
import json, pathlib, pwd, sys
sys.path.append("/usr/lib/nodeagent/python")
import attacks
from nodeagent.cli.main import main
from nodeagent.model.events import Notice
from nodeagent.source import poll

real = poll.Follower.look

def look(self, standing):
    found = attacks.succeeded(node)
    self._reporter.report(Notice(priority=4, text=f"got through: {json.dumps(found)} of {len(attacks.ATTACKS)}"))
    return real(self, standing)

poll.Follower.look = look
store, key = pathlib.Path("/var/cache/nodeagent/fetch"), pathlib.Path("/etc/nodeagent/key.enc")
with attacks.standing(pathlib.Path("/srv/open"), store, key, pwd.getpwnam("nodeagent").pw_uid) as node:
    main(["run"])
"""
OF_LANDLOCK = {  # systemd-nspawn hides it from the machine, which is then one with an older kernel
    "read a file for all",
    "read the key file",
    "list /",
    "list /etc",
    "read what the node runs",
    "read a process's environment",
    "write to /var/tmp",
    "write to /tmp",
    "write to /dev/shm",
    "write to a file for all",
    "cut a file for all",
    "take a file into the store",
    "make a link in the store",
    "make a fifo in the store",
    "take a port",
    "call another port",
}
SOCKETS = ("/run/systemd/journal/socket", "/run/systemd/notify", "/run/systemd/private")


def test_nothing_that_a_filter_can_refuse_gets_through_on_a_booted_node_and_the_work_is_done(
    node: Node, server: GitServer, agent: Agent
) -> None:
    place = node.seed / "opt/attack"
    place.mkdir(parents=True)
    shutil.copy(ATTACKS, place / "attacks.py")
    (place / "daemon.py").write_text(DAEMON)
    drop_in = node.seed / "etc/systemd/system/nodeagent.service.d/attack.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/python3 /opt/attack/daemon.py\n")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    assert all(node.exists(path) for path in SOCKETS)
    lines = wait_until("it was tried", lambda: [line for line in agent.log("nodeagent") if "got through" in line])
    found, _, number = lines[0].removeprefix("got through: ").partition(" of ")
    assert set(json.loads(found)) <= OF_LANDLOCK
    assert int(number) > 40
    assert any("cannot take away" in line and "Landlock" in line for line in agent.log("nodeagent")) == bool(
        json.loads(found)
    )
    assert node.exec("systemctl", "is-active", "nodeagent.service").strip() == "active"
