"""A node whose password and deploy key can be told from all else, and where they turn up while it is at work.

``python testbed/marked.py SOURCE`` runs the daemon through its life in a sandbox: two commits, a poll that hangs and is
aborted, an abort of the daemon itself, a stop. It prints as JSON in which files, command lines, environments, lines of
the log and memories the secrets were found. SOURCE is where they come from: file, command, credential or key; or what
is wrong with them: wrong or damaged.
"""

import base64
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from testbed import sandbox
from testbed.daemon import PASSWORD_FILE, STATUS_FILE, Daemon, prepare
from testbed.gitserver import GitServer
from testbed.marks import Marks, Watch, forms_of_key, memory_of, password
from testbed.programs import wait_until

SERVER = Path("/tmp/server")
CREDENTIALS = Path("/run/credentials/nodeagent.service")
KEY_FILE = Path("/etc/nodeagent/key.enc")
SETTINGS = 'interval = 1\njitter = 0\nretry_delay = 1\nfirst_start = "apply"\n'
UNREADABLE = (SERVER, sandbox.LOWER)  # the git server keeps the key; the machine below is not the sandbox's
FAILURES = ("wrong", "damaged")


def main(source: str) -> None:
    sandbox.enter("compute-001")
    sandbox.stub(("systemctl",))
    server = GitServer(SERVER, port=2222)
    marks = _arrange(server, source)
    first = _commit(server, "one")
    lines: list[str] = []
    found: dict[str, object] = {}
    with server, Watch(marks, lambda _: True) as watch:
        daemon = Daemon(lines.append, {"CREDENTIALS_DIRECTORY": str(CREDENTIALS)})
        resource.prlimit(daemon.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if source in FAILURES:
            wait_until("it is stalled", lambda: _stalled(daemon))
        else:
            daemon.wait_applied(first)
            daemon.wait_applied(_commit(server, "two"))
            found["poll"] = _hanging_poll(server, daemon, marks)
            found["cores of the poll"] = _cores()
        found["resting"] = sorted(marks.in_bytes(memory_of(daemon.pid)))
        daemon.abort()
        found["cores of the daemon"] = _cores()
        found["files"] = _files(marks)
        STATUS_FILE.unlink()
        daemon = Daemon(lines.append, {"CREDENTIALS_DIRECTORY": str(CREDENTIALS)})
        wait_until("it is up again", lambda: daemon.status().get("next_poll"))
        found["exit status"], _ = daemon.stop()
        found["files after a stop"] = _files(marks)
    found["processes"] = sorted(watch.found)
    found["looked at"] = len(watch.seen)
    found["log"] = sorted(marks.in_bytes("\n".join(lines).encode()))
    found["said"] = lines
    json.dump(found, sys.stdout)


def _arrange(server: GitServer, source: str) -> Marks:
    """Bring password or key to the node in the way that is asked for."""
    private, public = (SERVER / "key").read_bytes(), (SERVER / "key.pub").read_bytes()
    marks = {"password": [server.password.encode()], "key": forms_of_key(private, public)}
    settings = SETTINGS
    if source == "command":
        settings += f'[password]\ncommand = ["cat", "{SERVER}/password"]\n'
    prepare(server, settings=settings)
    CREDENTIALS.mkdir(parents=True, mode=0o700)
    match source:
        case "command":
            PASSWORD_FILE.unlink()
        case "credential":
            PASSWORD_FILE.rename(CREDENTIALS / "nodeagent.password")
        case "key":
            PASSWORD_FILE.unlink()
            KEY_FILE.unlink()
            shutil.copyfile(SERVER / "key", CREDENTIALS / "nodeagent.key")
            (CREDENTIALS / "nodeagent.key").chmod(0o400)
        case "wrong":
            wrong = password()
            PASSWORD_FILE.write_bytes(wrong + b"\n")
            marks["wrong password"] = [wrong]
        case "damaged":
            data = bytearray(base64.b64decode(KEY_FILE.read_bytes()))
            data[-20] ^= 1  # garbles the last two blocks: the padding is lost
            KEY_FILE.write_bytes(base64.encodebytes(data))
        case _:
            pass  # the password's file stands where it is looked for
    return Marks(marks)


def _commit(server: GitServer, text: str) -> str:
    (server.work / "files").mkdir(exist_ok=True)
    (server.work / "files/motd").write_text(text + "\n")
    post = '#!/bin/sh\nCOPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }\nCOPY files/motd /etc/motd\nenv >&2\n'
    (server.work / "post.sh").write_text(post)
    (server.work / "post.sh").chmod(0o755)
    return server.commit(f"Say {text}")


def _hanging_poll(server: GitServer, daemon: Daemon, marks: Marks) -> list[str]:
    """Abort a poll that holds the key and waits for its server; what is found in its memory before."""
    server.freeze()
    under_way = _children(daemon.pid)  # a server that had let them in still answers these
    poll = wait_until("a poll has given up root", lambda: _fetching(_children(daemon.pid) - under_way))
    found = sorted(marks.in_bytes(memory_of(poll)))
    os.kill(poll, signal.SIGABRT)
    wait_until("it has ended", lambda: not Path(f"/proc/{poll}").exists())
    server.stop()
    server.start()
    return found


def _children(process: int) -> set[int]:
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def _fetching(children: set[int]) -> int | None:
    """The one of them that is not root any more."""
    for child in children:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            status = Path(f"/proc/{child}/status").read_text().splitlines()
            if next(line for line in status if line.startswith("Uid:")).split()[2] != "0":
                return child
    return None


def _stalled(daemon: Daemon) -> bool:
    return any(condition["type"] == "Stalled" for condition in daemon.status().get("conditions", []))


def _cores() -> list[str]:
    """The cores that were left in directories where processes of the node stand, with their sizes."""
    return [f"{path}: {path.stat().st_size}" for top in (Path("/"), Path("/configs")) for path in top.glob("core*")]


def _files(marks: Marks) -> dict[str, list[str]]:
    """The files of the sandbox, wherever they were written, that hold a secret; which, and their mode."""
    found = {}
    for top in (sandbox.UPPER, Path("/run"), Path("/tmp"), Path("/dev/shm")):
        skipped = (*UNREADABLE, *([sandbox.UPPER] if top != sandbox.UPPER else []), sandbox.PROJECT, Path(sys.prefix))
        for path, held in marks.below(top, skip=skipped.__contains__).items():
            found[str(path)] = [*sorted(held), f"{path.stat().st_mode & 0o7777:04o}"]
    return found


if __name__ == "__main__":
    main(sys.argv[1])
