"""The nodeagent of a test machine, as its administrator and its kernel see it."""

import json
from typing import Any, Protocol

from testbed.programs import wait_until

STATUS_FILE = "/run/nodeagent/status.json"


class Machine(Protocol):
    def exec(self, *command: str, check: bool = True) -> str:
        """Run a command in the machine, as root, and return its stdout."""


class Agent:
    def __init__(self, node: Machine) -> None:
        self._node = node

    # --- what it says ------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What it last wrote about itself; nothing yet: empty."""
        text = self._node.exec("cat", STATUS_FILE, check=False)
        return json.loads(text) if text else {}

    def condition(self, name: str) -> dict[str, Any] | None:
        """The condition of that type, when its status is true."""
        for condition in self.status().get("conditions", []):
            if condition["type"] == name and condition["status"] in (True, "True"):
                return dict(condition)
        return None

    def applied(self) -> str:
        """The commit that was last applied whole; empty: none."""
        revision: str = self.status().get("revision", {}).get("applied") or ""
        return revision.rpartition(":")[2]

    def wait_applied(self, commit: str, *, seconds: float = 30) -> None:
        wait_until(f"{commit} is applied", lambda: self.applied() == commit, seconds=seconds)

    def wait_ready(self, *, seconds: float = 30) -> None:
        wait_until("Ready is true", lambda: self.condition("Ready"), seconds=seconds)

    def wait_condition(self, name: str, reason: str, *, seconds: float = 30) -> dict[str, Any]:
        """Wait until the condition is true for that reason, and return it."""

        def found() -> dict[str, Any] | None:
            condition = self.condition(name)
            return condition if condition and condition["reason"] == reason else None

        condition = wait_until(f"{name} is true because of {reason}", found, seconds=seconds)
        assert condition is not None
        return condition

    def log(self, tag: str) -> list[str]:
        """The messages of this boot under a syslog identifier, oldest first."""
        return self._node.exec("journalctl", "--boot", "--identifier", tag, "--output=cat", "--no-pager").splitlines()

    def entries(self, tag: str) -> list[dict[str, Any]]:
        """As :meth:`log`, with every field."""
        text = self._node.exec("journalctl", "--boot", "--identifier", tag, "--output=json", "--no-pager")
        return [json.loads(line) for line in text.splitlines()]

    # --- its processes -----------------------------------------------------------------------------------------

    def property(self, name: str) -> str:
        """A property of the service, as systemd has it."""
        return self._node.exec("systemctl", "show", "nodeagent.service", "--value", f"--property={name}").strip()

    def main_process(self) -> int:
        return int(self.property("MainPID"))

    def children(self, *, user: str) -> list[int]:
        """The service's children that run as that user: the fetch worker as ``nodeagent``, the apply worker as root."""
        found = self._node.exec("ps", "-o", "pid=,user=", "--ppid", str(self.main_process()), check=False)
        rows = (line.split() for line in found.splitlines())
        return [int(process) for process, owner in rows if owner == user]

    def wait_child(self, *, user: str) -> int:
        return wait_until(f"a worker runs as {user}", lambda: self.children(user=user), seconds=20)[0]
