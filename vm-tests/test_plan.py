"""A plan on a booted node leaves it as it is, also when the rehearsed script wants to end it."""

import json
from pathlib import Path

import pytest

from testbed.node import Node

SNAPSHOT = (Path(__file__).resolve().parent.parent / "testbed/snapshot.py").read_text()
TOPS = ("/etc", "/dev", "/opt", "/srv", "/root", "/usr", "/var/spool")
POST = """\
#!/bin/sh
echo planned >/etc/planned
rm -rf /etc/ssh /usr/bin /root
kill -9 -1
"""
WORSE = """\
#!/bin/sh
systemctl stop nodeagent
reboot -f -f
umount -a
sysctl -w kernel.printk_ratelimit=77
hostname other
dd if=/dev/zero of=/dev/sda count=1
"""


def snapshot(node: Node) -> dict[str, str]:
    # Processes come and go on a node that is up: its first one and the daemon are asked for.
    found = json.loads(node.exec("python3", "-", *TOPS, stdin=SNAPSHOT))
    main = node.exec("systemctl", "show", "--value", "--property=MainPID", "nodeagent", "dbus", "systemd-journald")
    return {name: value for name, value in found.items() if not name.startswith("process ")} | {"daemons": main}


@pytest.mark.usefixtures("commit")
@pytest.mark.parametrize("script", [POST, WORSE], ids=["kills", "reboots"])
def test_a_rehearsal_on_a_booted_node_leaves_it_as_it_is(node: Node, script: str) -> None:
    node.exec("mkdir", "/srv/site")
    node.write("/srv/site/post.sh", script)
    node.exec("chmod", "755", "/srv/site/post.sh")
    before = snapshot(node)
    assert node.status_of("nodeagent", "plan", "--rehearse", "--repo", "/srv/site") == 2
    after = snapshot(node)
    assert {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)} == set()


@pytest.mark.usefixtures("commit")
def test_a_settled_node_has_nothing_planned(node: Node) -> None:
    plan = json.loads(node.exec("nodeagent", "plan", "--json"))  # exit code 0: nothing
    assert {change["change"] for change in plan["changes"]} == {"unchanged"}
    assert [step["command"] for step in plan["steps"] if step["would_run"]] == []
    assert len(plan["steps"]) == 9
