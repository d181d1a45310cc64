"""A whole machine as the place of a run: what a login of root starts there, to run the plain way and to look around.

The client (``vm-tests/test_equivalence.py``) sends the name and arguments of a function of :class:`Machine` and gets
what it returns, as pickles through the login's stdin and stdout.
"""

import json
import os
import shutil
import stat
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.equivalence.root import PROGRAMS, REPOSITORY, Entry, File, Tree, put, put_all, tree
from tests.equivalence.sandbox import receive, send
from tests.equivalence.ways import Left, plain

PATH = f"/stubs:{REPOSITORY}/postscripts:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STATE, STATUS = Path("/var/lib/nodeagent"), Path("/run/nodeagent/status.json")
_ROOTS = (b"/", b"/run")
_AGENTS = {b"/configs", b"/etc/nodeagent", b"/dev", b"/usr", b"/var", b"/run/nodeagent"}  # or nobody's
_SECONDS = 30.0


class Machine:
    def __init__(self) -> None:
        self._leave = _AGENTS | {entry.path for entry in os.scandir(b"/run")}
        for path, file in PROGRAMS.items():
            put(path, file)
        self._before = self.look()

    def look(self) -> Tree:
        return tree(_ROOTS, self._leave)

    def prepare(self, files: Mapping[bytes, File]) -> None:
        """Make the machine what it was, without anything of the agent's, and put files there."""
        shutil.rmtree(REPOSITORY, ignore_errors=True)
        for left in STATE.glob("*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        now = self.look()
        changed = {path for path in now.keys() | self._before.keys() if now.get(path) != self._before.get(path)}
        for path in sorted(changed & now.keys(), reverse=True):
            os.rmdir(path) if stat.S_ISDIR(now[path][0]) else os.unlink(path)
        for path in sorted(changed & self._before.keys()):
            put(path, _file(self._before[path]))
        put_all(files)

    def by_the_shell(self, args: Sequence[str]) -> Left:
        """Run what stands in the repository with the login's own environment, but for PATH."""
        return replace(plain(args, {**os.environ, "PATH": PATH}), tree=self.look())

    def by_the_service(self, commit: str) -> Tree:
        """Have the service poll, and wait until it has done with a commit."""
        subprocess.run(["systemctl", "reload", "nodeagent.service"], check=True)
        deadline = time.monotonic() + _SECONDS
        while not self._attempted(commit):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the service has not attempted {commit}: {STATUS.read_text()}")
            time.sleep(0.01)
        return self.look()

    def _attempted(self, commit: str) -> bool:
        status = json.loads(STATUS.read_text())
        done = all(condition["type"] != "Reconciling" for condition in status["conditions"])
        return done and status["revision"]["attempted"].endswith(commit)


def _file(entry: Entry) -> File:
    mode, user, group, content = entry
    file = File(content=content, mode=stat.S_IMODE(mode), owner=(user, group))
    if stat.S_ISLNK(mode):
        return replace(file, kind="link")
    return replace(file, kind="directory") if stat.S_ISDIR(mode) else file


def serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    machine = Machine()
    while True:
        try:
            request = receive(sys.stdin.buffer)
        except EOFError:
            return
        assert isinstance(request, tuple)
        name, arguments = request
        try:
            answer: object = getattr(machine, name)(*arguments)
        except Exception:  # noqa: BLE001 - a process's very top
            answer = traceback.format_exc()
        send(answers, answer)


if __name__ == "__main__":
    serve()
