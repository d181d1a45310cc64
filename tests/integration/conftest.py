"""Fixtures with the real things: an OpenSSH server on loopback, git repositories, a key made by the guide's commands.

``site`` is all of it together: ``site.repository.commit({"post.sh": "..."})`` pushes, ``site.config()`` gives the
configuration of a node that follows it, and ``site.poll()`` is a poll in a forked child, as the daemon makes it.
"""

import contextlib
import os
import pickle
import shutil
import signal
import socket
import subprocess  # noqa: TID251 - tests drive the real programs
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from nodeagent import node, reconcile
from nodeagent.cli import main
from nodeagent.config import Config, Prune
from nodeagent.evaluation import Settings
from nodeagent.model.evaluation import Evaluation
from nodeagent.model.events import Event
from nodeagent.model.outcomes import PollOutcome
from nodeagent.situation import Wishes
from nodeagent.source import storage
from nodeagent.source.poll import poll
from nodeagent.source.trust.history import Standing

T = TypeVar("T")

PASSWORD = "correct horse battery staple"
USER = "nobody"  # an unprivileged user that every machine has
PROGRAMS = ("sshd", "ssh-keygen", "git", "git-shell", "openssl")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
GIT_ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Admin",
    "GIT_AUTHOR_EMAIL": "admin@cluster.example",
    "GIT_COMMITTER_NAME": "Admin",
    "GIT_COMMITTER_EMAIL": "admin@cluster.example",
}


def run(*command: str | Path, **options: Any) -> str:
    """Run a program to its end; what it wrote to stdout. Fails the test with its stderr."""
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, timeout=60, **options)
    assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="surrogateescape").strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def in_child(job: Callable[[], T]) -> T:
    """Run the job in a forked child; its result, or the exception that it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(50)  # a child that hangs ends before the test's own limit
        try:
            answer: tuple[bool, Any] = (True, job())
        except BaseException as error:  # noqa: BLE001 - the very top of a process
            answer = (False, error)
        with open(write, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with status {status:#x}"
    succeeded, value = pickle.loads(data)
    if not succeeded:
        raise value
    return value  # type: ignore[no-any-return]


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class Repository:
    """A bare repository, and a clone to work in."""

    bare: Path
    work: Path

    @classmethod
    def create(cls, directory: Path, name: str) -> "Repository":
        bare, work = directory / f"{name}.git", directory / f"{name}.work"
        run("git", "init", "-q", "--bare", "-b", "main", bare, env=GIT_ENVIRONMENT)
        run("git", "init", "-q", "-b", "main", work, env=GIT_ENVIRONMENT)
        return cls(bare=bare, work=work)

    def git(self, *arguments: str | Path) -> str:
        return run("git", "-C", self.work, *arguments, env=GIT_ENVIRONMENT)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files into the clone; None removes one; a script (``#!``) becomes executable."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                with contextlib.suppress(OSError):  # like git, which keeps no empty directory
                    path.parent.rmdir()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)
            path.chmod(0o755 if data.startswith(b"#!") else 0o644)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "Change the nodes") -> str:
        """Commit the files and push; the commit's id."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.push()
        return self.head

    def push(self, branch: str = "main") -> None:
        self.git("push", "-q", "--force", self.bare, f"HEAD:refs/heads/{branch}")

    def clone(self, target: Path) -> Path:
        """What ``git clone`` makes of the repository, without ``.git``."""
        run("git", "clone", "-q", self.bare, target, env=GIT_ENVIRONMENT)
        shutil.rmtree(target / ".git")
        return target


@dataclass
class Sshd:
    """An OpenSSH server on loopback; its one authorized key may only run git."""

    directory: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.new_host_key()
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # compiled into Debian's sshd
        (self.directory / "sshd_config").write_text(
            f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey {self.directory}/host_key
            PidFile none
            AuthorizedKeysFile {self.directory}/authorized_keys
            PermitRootLogin forced-commands-only
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            StrictModes no
            UsePAM no
            UseDNS no
            MaxStartups 200:30:400
            # Debian's bash reads ~/.bashrc for commands over SSH unless it believes to be a subshell.
            SetEnv SHLVL=9
            """
        )

    def authorize(self, public_key: Path, command: str = 'git-shell -c "$SSH_ORIGINAL_COMMAND"') -> None:
        """Let the key in, for this one command only."""
        quoted = command.replace('"', '\\"')
        (self.directory / "authorized_keys").write_text(f'restrict,command="{quoted}" {public_key.read_text()}')

    def new_host_key(self, kind: str = "ed25519") -> None:
        """Make the host key; takes effect at the next start."""
        for suffix in ("", ".pub"):
            (self.directory / f"host_key{suffix}").unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", self.directory / "host_key")

    @property
    def known_hosts_line(self) -> str:
        kind, key = (self.directory / "host_key.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    @property
    def fingerprint(self) -> str:
        """The host key's, as ``ssh-keygen -l`` prints it."""
        return run("ssh-keygen", "-l", "-f", self.directory / "host_key.pub").split()[1]

    def url(self, repository: Path) -> str:
        return f"ssh://root@127.0.0.1:{self.port}{repository}"

    def start(self) -> None:
        sshd = shutil.which("sshd", path=PATH)
        assert sshd is not None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([sshd, "-D", "-e", "-f", self.directory / "sshd_config"], stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port), 5):
                return
            log_text = (self.directory / "log").read_text()
            assert self._process.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            threading.Event().wait(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@dataclass
class Site:
    """A cluster's source: server, repository, keys; and a node's files that lead to it."""

    server: Sshd
    repository: Repository
    directory: Path  # on whatever disk; the fetch user may enter
    memory: Path  # on tmpfs; the fetch user may enter
    password_file: Path
    key: Path  # the private key, with key.pub beside it
    key_file: Path  # the encrypted one
    known_hosts: Path

    @property
    def url(self) -> str:
        return self.server.url(self.repository.bare)

    def config(self, **tables: Any) -> Config:
        """The node's configuration; each keyword replaces values of a table, or a top-level value."""
        values: dict[str, Any] = {
            "source": {
                "url": self.url,
                "key": self.key_file,
                "known_hosts": self.known_hosts,
                "checkout": self.directory / "configs",
                "user": USER,
                "connect_timeout": 5.0,
                "timeout": 5.0,
            },
            "password": {"file": self.password_file},
            "paths": {
                "state": self.directory / "state",
                "cache": self.directory / "cache",
                "runtime": self.memory / "run",
            },
            "jobs": {"probe": "none"},  # another test's scheduler daemon may run on this machine
            "interval": 1.0,
            "retry_delay": 0.1,
        }
        for name, value in tables.items():
            values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
        return Config.model_validate(values)

    in_child = staticmethod(in_child)

    def poll(
        self,
        config: Config | None = None,
        current: str = "",
        credentials: Path | None = None,
        standing: Standing | None = None,
    ) -> tuple[PollOutcome, list[Event]]:
        """A poll in a forked child: its outcome, and what it reported. The node stands at ``current`` if not told."""
        recorder = Recorder()
        stands = standing or Standing(commits=(current,) if current else ())

        def job() -> tuple[PollOutcome, list[Event]]:
            found = poll(config or self.config(), current, threading.Event(), recorder, credentials, standing=stands)
            return found, recorder.events

        return in_child(job)


@pytest.fixture(scope="session")
def _needed() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI lacks {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on whatever disk that every user may enter (pytest closes the way to its own at every start)."""
    directory = Path(tempfile.mkdtemp(prefix="nodeagent-test-"))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory on tmpfs that every user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="nodeagent-test-", dir="/dev/shm"))
    try:
        directory.chmod(0o755)
        assert storage.is_memory(directory), "/dev/shm is no tmpfs here"
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def deploy_key(_needed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a deploy key made with the guide's own commands: key, key.pub, key.enc, password."""
    directory = tmp_path_factory.mktemp("key")
    (directory / "password").write_text(PASSWORD + "\n")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", directory / "key")
    encrypt = ("openssl", "enc", "-aes-256-cbc", "-a", "-salt", "-pbkdf2", "-pass", f"file:{directory}/password")
    run(*encrypt, "-in", directory / "key", "-out", directory / "key.enc")
    return directory


@pytest.fixture
def sshd(deploy_key: Path, place: Path) -> Iterator[Sshd]:
    """A running server that lets the deploy key in."""
    server = Sshd(place / "sshd")
    server.authorize(deploy_key / "key.pub")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(sshd: Sshd, deploy_key: Path, place: Path, memory: Path) -> Site:
    """Server, an empty repository, keys, and the files of a node that may follow it."""
    directory = place / "node"
    directory.mkdir(mode=0o755)
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(sshd.known_hosts_line)
    key_file = shutil.copy(deploy_key / "key.enc", directory / "key.enc")
    password_file = memory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(PASSWORD + "\n")
    return Site(
        server=sshd,
        repository=Repository.create(place, "repository"),
        directory=directory,
        memory=memory,
        password_file=password_file,
        key=deploy_key / "key",
        key_file=key_file,
        known_hosts=known_hosts,
    )


class LocalSite:
    """A directory with a post.sh, the tree that it writes to ($D), a ledger, and a configuration that names it.

    Each ``apply`` gives post.sh another body, behind the guide's COPY.
    """

    def __init__(self, top: Path) -> None:
        self.top, self.repository, self.root, self.state = top, top / "repo", top / "root", top / "state"
        (self.repository / "files").mkdir(parents=True)
        self.root.mkdir()
        (self.repository / "files/motd").write_text("hello\n")
        self.events: list[Event] = []  # of the last apply
        self.config = top / "nodeagent.toml"
        self.config.write_text(
            f'[source]\nurl = "ssh://git@host/repo"\n[paths]\nstate = "{self.state}"\nruntime = "{top}/run"\n'
        )

    def apply(self, body: str, *, keep_bytes: int = 2**20, prune: Prune = "report", **wishes: bool) -> Evaluation:
        copy = 'COPY() { mkdir -p "$(dirname "$2")"; rsync -a "$1" "$2"; }'
        (self.repository / "post.sh").write_text(f"#!/bin/sh\n{copy}\nD={self.root}\n{body}\n")
        settings = Settings(
            args=(),
            environment=node.inherited_environment(),
            step_timeout=30.0,
            evaluation_timeout=60.0,
            state=self.state,
            runtime=self.top / "run",
            keep_bytes=keep_bytes,
            prune=prune,
        )
        wanted = Wishes(requested=True, **wishes)
        recorder = Recorder()
        self.events = recorder.events
        return reconcile.apply_directory(self.repository, settings, wanted, threading.Event(), recorder)


@pytest.fixture
def local_site() -> type[LocalSite]:
    return LocalSite


@pytest.fixture
def local(tmp_path: Path) -> LocalSite:
    return LocalSite(tmp_path)


@pytest.fixture
def verb(local: LocalSite, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A verb of the command line, over the ledger of ``local``; gives what it printed."""

    def call(name: str, *arguments: object, status: int = 0) -> str:
        assert main.call([name, "--config", str(local.config), *map(str, arguments)]) == status, capsys.readouterr().err
        return capsys.readouterr().out

    return call
