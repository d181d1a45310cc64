"""The unit's environment changes nothing: the cases that ask for it, by a login's shell and by the service itself.

Each case is a commit that the running service fetches from the git server and applies. What it leaves is compared with
what post.sh left when root, logged in by ssh on the same machine in the same state, ran it: by the comparison of
``tests/equivalence``. The cases are those about what surrounds a shell, and one in a few of the others.
"""

import json
import shutil
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from testbed.agent import Agent
from testbed.gitserver import GitServer
from testbed.keeper import DIES_WITH_OWNER
from testbed.node import Node
from testbed.programs import run as run_program
from testbed.site import CREDENTIAL, configure
from tests.equivalence.case import Case, cases
from tests.equivalence.compare import deviations
from tests.equivalence.machine import PATH
from tests.equivalence.root import PROJECT, File
from tests.equivalence.sandbox import receive, send
from tests.equivalence.ways import Left

SUITE = "/srv/suite"  # where the machine has the suite
SURROUNDINGS = ("login/", "background/", "trap/", "shell/", "set-e/", "set-x/", "fail/", "subshell/", "substitution/")
ONE_IN = 8  # of the others
SETTINGS = 'interval = 86400\nfirst_start = "apply"\nenvironment_file = "/etc/nodeagent/environment"\n'


def fits(case: Case) -> bool:
    """Git keeps neither empty directories nor names that are no file's, and the journal has what `logger` says. A node
    with another /etc/passwd has no user that could fetch."""
    if b"/etc/passwd" in case.files:
        return False
    mine = {path: file for path, file in case.files.items() if not path.startswith(b"/")}
    return not any(file.kind == "directory" or b"logger" in file.content for file in mine.values())


def chosen() -> list[tuple[Case, str]]:
    """The cases, each with one of its shells in turn."""
    fitting = [case for case in cases() if fits(case)]
    near = [case for case in fitting if case.name.startswith(SURROUNDINGS)]
    far = [case for case in fitting if not case.name.startswith(SURROUNDINGS)]
    return [(case, case.shells[number % len(case.shells)]) for number, case in enumerate([*near, *far[::ONE_IN]])]


class Login:
    """Root on the machine, logged in by ssh."""

    def __init__(self, node: Node, key: str) -> None:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        words = [word for option in options for word in ("-o", option)]
        start = f"cd {SUITE} && exec python3 -m tests.equivalence.machine"
        self._ssh = subprocess.Popen(
            [*DIES_WITH_OWNER, *node.network, "ssh", "-F", "none", "-i", key, *words, "root@127.0.0.1", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, name: str, *arguments: object) -> Any:
        assert self._ssh.stdin is not None
        assert self._ssh.stdout is not None
        send(self._ssh.stdin, (name, arguments))
        answer = receive(self._ssh.stdout)
        if isinstance(answer, str):
            raise RuntimeError(f"{name}: {answer}")
        return answer

    def close(self) -> None:
        self._ssh.kill()
        self._ssh.communicate()


@pytest.fixture
def login(node: Node, server: GitServer, agent: Agent) -> Iterator[Login]:
    key = server.directory / "login"
    run_program(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    ssh = node.seed / "root/.ssh"
    ssh.mkdir(parents=True, mode=0o700)
    (node.seed / "root").chmod(0o700)
    (ssh / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    package = node.seed / SUITE.removeprefix("/") / "tests/equivalence"
    shutil.copytree(PROJECT / "tests/equivalence", package, ignore=shutil.ignore_patterns("cases", "__pycache__"))
    configure(node.seed, server, settings=SETTINGS)
    (node.seed / "etc/nodeagent/environment").write_text(f"PATH={PATH}\n")
    server.start()
    node.boot(credentials={CREDENTIAL: server.password})
    agent.wait_applied(server.git("rev-parse", "HEAD"))
    login = Login(node, str(key))
    yield login
    login.close()


def committed(server: GitServer, case: Case, files: Mapping[bytes, File]) -> str:
    """Make the repository's files those of the case."""
    for entry in server.work.iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name, file in files.items():
        path = server.work / name.decode(errors="surrogateescape")
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.kind == "link":
            path.symlink_to(file.content.decode())
        else:
            path.write_bytes(file.content)
            path.chmod(file.mode)
    (server.work / ".gitattributes").write_text(f"# {case.name}\n")  # so that it differs from the case before
    return server.commit(case.name)


def by_the_service(server: GitServer, login: Login, case: Case, files: Mapping[bytes, File]) -> tuple[str, Left]:
    """Commit a case and let the service find it; its status and output stand in the journal."""
    mine = {path: file for path, file in files.items() if not path.startswith(b"/")}
    start = {path: file for path, file in files.items() if path.startswith(b"/")}
    directory = server.directory / "settings"
    configure(directory, server, settings=f"{SETTINGS}args = {json.dumps(list(case.args))}")
    settings = (directory / "etc/nodeagent/nodeagent.toml").read_bytes()
    login.ask("prepare", {**start, b"/etc/nodeagent/nodeagent.toml": File(content=settings)})
    commit = committed(server, case, mine)
    return commit, Left(status=0, output=[], tree=login.ask("by_the_service", commit))


def by_the_shell(login: Login, case: Case, files: Mapping[bytes, File]) -> Left:
    login.ask("prepare", files)
    left = login.ask("by_the_shell", case.args)
    assert isinstance(left, Left)
    return left


def as_cloned(file: File, *, repository: bool) -> File:
    """What git makes of a repository's file."""
    return replace(file, mode=0o755 if file.mode & 0o100 else 0o644, owner=(0, 0)) if repository else file


def told(agent: Agent) -> dict[str, tuple[int, list[str]]]:
    """post.sh's exit status and output of each commit, as the journal has them."""
    found: dict[str, tuple[int, list[str]]] = {}
    for entry in agent.entries("postscripts"):
        commit = entry.get("NODEAGENT_REVISION", "").rpartition(":")[2]
        status, output = found.get(commit, (0, []))
        if "MESSAGE_ID" not in entry and entry["PRIORITY"] == "6":  # debug tells why a step runs
            text = entry["MESSAGE"] or ""
            output.append(text if isinstance(text, str) else bytes(text).decode(errors="backslashreplace"))
        elif entry["MESSAGE"].startswith("Evaluation") and "EXIT_STATUS" in entry:
            status = int(entry["EXIT_STATUS"])
        found[commit] = status, output
    return found


def test_the_service_leaves_what_a_login_leaves(node: Node, server: GitServer, agent: Agent, login: Login) -> None:
    pairs: list[tuple[Case, str, str, Left, Left]] = []
    for case, shell in chosen():
        files = {p: as_cloned(f, repository=not p.startswith(b"/")) for p, f in case.files_for(shell).items()}
        plain = by_the_shell(login, case, files)
        commit, ours = by_the_service(server, login, case, files)
        pairs.append((case, shell, commit, plain, ours))
    journal = told(agent)
    found = []
    for case, shell, commit, plain, ours in pairs:
        status, output = journal[commit]
        left = replace(ours, status=status, output=output)
        found += [f"{case.name} in {shell}: {text}" for text in deviations([plain], [left], case.differs)]
    assert "\n".join(found) == ""
    assert len(pairs) >= 60
