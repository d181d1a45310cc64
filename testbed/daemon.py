"""``nodeagent run`` in a sandbox, without systemd: what the unit does around it is done here, and no more."""

import json
import os
import pwd
import signal
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testbed.gitserver import GitServer
from testbed.programs import wait_until
from testbed.site import configure

USER = "nodeagent"
NODEAGENT = Path(sys.prefix) / "bin/nodeagent"
PASSWORD_FILE = Path("/run/nodeagent.password")
STATUS_FILE = Path("/run/nodeagent/status.json")


def prepare(server: GitServer, *, settings: str, source: str = "") -> None:
    """Give the sandbox what package and administrator give a node: the user, directories, configuration, password."""
    _add_user()
    account = pwd.getpwnam(USER)
    for path, mode, owner in (
        (Path("/run/nodeagent"), 0o755, 0),
        (Path("/var/lib/nodeagent"), 0o700, 0),
        (Path("/var/cache/nodeagent"), 0o700, account.pw_uid),
    ):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        os.chown(path, owner, owner and account.pw_gid)
    configure(Path("/"), server, settings=settings, source=source)
    PASSWORD_FILE.touch(mode=0o600)
    PASSWORD_FILE.write_text(server.password + "\n")


def _add_user() -> None:
    if USER in (account.pw_name for account in pwd.getpwall()):
        return
    number = next(n for n in range(999, 100, -1) if n not in {account.pw_uid for account in pwd.getpwall()})
    for file, line in (
        ("/etc/passwd", f"{USER}:x:{number}:{number}:nodeagent:/nonexistent:/usr/sbin/nologin\n"),
        ("/etc/group", f"{USER}:x:{number}:\n"),
    ):
        with Path(file).open("a") as accounts:
            accounts.write(line)


class Daemon:
    """The running daemon. ``hear`` is called with each line that it reports; ``environment`` is added to its own."""

    def __init__(self, hear: Callable[[str], None], environment: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._hear = hear
        self._process = subprocess.Popen(
            [NODEAGENT, "run"],
            cwd="/",  # as systemd starts it
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> dict[str, Any]:
        """What the daemon last wrote about itself; nothing yet: empty."""
        return json.loads(STATUS_FILE.read_text()) if STATUS_FILE.exists() else {}

    def wait_applied(self, commit: str) -> None:
        """Wait until that commit is applied and the node is ready.

        Raises:
            RuntimeError: the daemon has ended.
            TimeoutError: it did not come to that.
        """
        wait_until(f"{commit[:12]} is applied", lambda: self._has_applied(commit), seconds=60)

    def _has_applied(self, commit: str) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"nodeagent run ended with status {self._process.returncode}")
        status = self.status()
        applied = status.get("revision", {}).get("applied") or ""
        ready = any(c["type"] == "Ready" and c["status"] in (True, "True") for c in status.get("conditions", []))
        return bool(applied.endswith(commit)) and ready

    def poll_now(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def abort(self) -> None:
        """End it as a bug would: with a core, if it makes one."""
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(timeout=30)
        self._listener.join(timeout=5)

    def stop(self) -> tuple[int, float]:
        """Ask it to end; the exit status and how many seconds it took."""
        begun = time.monotonic()
        self._process.terminate()
        status = self._process.wait(timeout=30)
        took = time.monotonic() - begun
        self._listener.join(timeout=5)
        return status, took

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._hear(self.lines[-1])
