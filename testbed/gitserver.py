"""A throwaway git server on loopback: an OpenSSH server of our own, its keys, a bare repository and a work tree.

The deploy key is made with the commands that the guide gives to administrators.
"""

import os
import secrets
import signal
import socket
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed.programs import run, wait_until

ADMITTED = "Accepted publickey for"  # sshd's words

# All processes of the server end with the one that started it, however that one ends.
OWN_NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")

GIT_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Site Admin",
    "GIT_AUTHOR_EMAIL": "admin@cluster.example",
    "GIT_COMMITTER_NAME": "Site Admin",
    "GIT_COMMITTER_EMAIL": "admin@cluster.example",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class GitServer:
    """Serves ``directory/configs.git`` to the holder of ``directory/key``, and to nobody else.

    The directory must not be below ``/run``, which the server has for itself.

    ``enter`` is put before sshd's command line, to start it in another namespace (``nsenter --net=...``); ``settings``
    are added to its configuration. ``known_as`` is the address at which its clients find it, though it listens on
    loopback.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        enter: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        known_as: str = "127.0.0.1",
    ) -> None:
        self.directory = directory
        self.port = port
        self.known_as = known_as
        self.work = directory / "work"
        self.bare = directory / "configs.git"
        self.password = secrets.token_urlsafe(18)
        self._enter = enter
        self._sshd: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._make_host_key(settings or {})
        self._make_deploy_key()
        self._make_repository()

    @property
    def url(self) -> str:
        return f"ssh://root@{self.known_as}:{self.port}{self.bare}"

    @property
    def known_hosts(self) -> str:
        kind, key = (self.directory / "hostkey.pub").read_text().split()[:2]
        return f"[{self.known_as}]:{self.port} {kind} {key}\n"

    @property
    def encrypted_key(self) -> Path:
        return self.directory / "key.enc"

    @property
    def private_key_line(self) -> str:
        """A line of the deploy key that no other key has: whoever finds it has found the key."""
        return (self.directory / "key").read_text().splitlines()[3]

    # --- the repository ----------------------------------------------------------------------------------------

    def git(self, *arguments: str) -> str:
        return run(["git", *arguments], cwd=self.work, env=GIT_ENVIRONMENT).strip()

    def commit(self, message: str) -> str:
        """Commit the work tree as it stands, push it, and return the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "--force", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    # --- the server --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start sshd and wait until it listens. Its mount namespace has a ``/run`` of its own, for ``/run/sshd``."""
        sshd = run(["sh", "-c", 'PATH="$PATH:/usr/sbin"; command -v sshd']).strip()
        script = f"mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd && exec {sshd} -D -e -f sshd_config"
        with (self.directory / "sshd.log").open("wb") as log:
            self._sshd = subprocess.Popen(
                [*self._enter, *OWN_NAMESPACES, "sh", "-c", script],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(f"sshd listens on port {self.port}", self._listens)

    @property
    def is_up(self) -> bool:
        return self._sshd is not None

    def stop(self) -> None:
        """End sshd and every session of it (they share a process-id namespace)."""
        if self._sshd is not None:
            self._sshd.kill()
            self._sshd.wait()
            self._sshd = None

    def admit(self, public_key: str) -> None:
        """Let the holder of that key fetch, too."""
        with (self.directory / "authorized_keys").open("a") as keys:
            keys.write(r'restrict,command="git-shell -c \"$SSH_ORIGINAL_COMMAND\"" ' + public_key)

    def freeze(self) -> None:
        """Let connections be made and nobody answer, until it is stopped."""
        assert self._sshd is not None
        listener = Path(f"/proc/{self._sshd.pid}/task/{self._sshd.pid}/children").read_text().split()[0]
        os.kill(int(listener), signal.SIGSTOP)

    @property
    def log(self) -> str:
        """What sshd has said since it was last started."""
        return (self.directory / "sshd.log").read_text()

    def wait_polls(self, count: int) -> None:
        """Wait until the holder of the deploy key has come that many times more."""
        wanted = self.log.count(ADMITTED) + count
        wait_until(f"{count} more polls", lambda: self.log.count(ADMITTED) >= wanted)

    def _listens(self) -> bool:
        if self._sshd is None or self._sshd.poll() is not None:
            raise RuntimeError("sshd did not start:\n" + self.log)
        return f"port {self.port}." in self.log

    # --- what is made once -------------------------------------------------------------------------------------

    def _make_host_key(self, more: Mapping[str, str]) -> None:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "hostkey"], cwd=self.directory)
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.directory / "hostkey",
            "AuthorizedKeysFile": self.directory / "authorized_keys",
            "PidFile": "none",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "StrictModes": "no",  # the directory may stand below a world-writable one
            "SetEnv": "SHLVL=9",  # keeps bash from reading root's .bashrc for each request
            **more,
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.directory / "sshd_config").write_text(text)

    def _make_deploy_key(self) -> None:
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(self.password + "\n")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], cwd=self.directory)
        encrypt = "openssl enc -aes-256-cbc -a -salt -pbkdf2 -in key -out key.enc -pass file:password"
        run(encrypt.split(), cwd=self.directory)
        self.admit((self.directory / "key.pub").read_text())

    def _make_repository(self) -> None:
        self.work.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", self.bare], env=GIT_ENVIRONMENT)
        self.git("remote", "add", "origin", str(self.bare))
