"""A repository, the tree that its post.sh writes to, and a ledger: applied by the product itself."""

import os
import signal
import threading
from pathlib import Path

from nodeagent import node, reconcile
from nodeagent.evaluation import Settings
from nodeagent.ledger import database, destinations
from nodeagent.ledger.sources import Source
from nodeagent.situation import Wishes

FUNCTIONS = """\
RUN() {
  logger -t postscripts "Running $*..."
  "$@"
  code=$?
  if [ $code -eq 1 ]; then
    logger -t postscripts "$* failed with error code $code"
  elif [ $code -ne 0 ]; then
    logger -t postscripts "$* exited with error code $code"
  fi
  logger -t postscripts "$* exited with code $code"
}
COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -av "$1" "$2"
}
"""


KILL = "sh -c '[ ! -e $0/agent ] || { kill -9 $(cat $0/agent; rm $0/agent); sleep 5; }' $D/.."


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


class Site:
    """A repository, the tree that its post.sh writes to ($D), and a ledger."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.repository = top / "repo"
        self.root = top / "root"
        self.state = top / "state"
        self.runtime = top / "run"
        self.recorder = Recorder()
        for directory in (self.repository / "files", self.repository / "postscripts", self.root):
            directory.mkdir(parents=True)

    def program(self, body: str, *, shebang: str = "#!/bin/sh") -> None:
        text = f"{shebang}\n{FUNCTIONS}D={self.root}\nPATH=$PWD/postscripts:$PATH\n{body}\n"
        self.file("post.sh", text, 0o755)

    def file(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.repository / name
        path.write_text(text)
        path.chmod(mode)

    def apply(self, *, stop=None, limit=60.0, step=30.0, args=(), busy=str, keep_bytes=2**20, **wishes):
        self.recorder = Recorder()
        settings = Settings(
            args=args,
            environment=node.inherited_environment(),
            step_timeout=step,
            evaluation_timeout=limit,
            state=self.state,
            runtime=self.runtime,
            busy=busy,
            keep_bytes=keep_bytes,
        )
        wanted = Wishes(**({"requested": True} | wishes))
        return reconcile.apply_directory(self.repository, settings, wanted, stop or threading.Event(), self.recorder)

    def killed(self) -> None:
        """An agent of its own that the program kills, once: by :data:`KILL`."""
        agent = os.fork()
        if agent == 0:
            os.setsid()
            try:
                (self.top / "agent").write_text(str(os.getpid()))
                self.apply()
            finally:
                os._exit(0)
        assert os.waitpid(agent, 0)[1] == signal.SIGKILL
        with database.opened(self.state, wait=True, warn=print):
            pass  # the kernel drops the lock with its last holder, which may be a fork on its way to exec

    def drifted(self) -> list[str]:
        """The destinations that a cycle would find drifted, below the tree."""
        with database.opened(self.state, wait=True, warn=print) as connection:
            source = Source(connection, f"directory:{self.repository}")
            found = destinations.sweep(connection, source.id).drifted
        return sorted(str(Path(path).relative_to(self.root)) for path in found)

    def pending(self) -> list[str]:
        """What is still to be done, as the status tells it."""
        with database.opened(self.state, wait=True, warn=print) as connection:
            state = Source(connection, f"directory:{self.repository}").state()
        assert state is not None
        return list(state.pending)

    def ran(self) -> list[str]:
        log = self.root / "ran.log"
        return log.read_text().split() if log.exists() else []
