"""Shows nodeagent's main job on examples/compute-configs, and checks each stage of it. Ends with 0 only if all held.

All of it happens in a sandbox (testbed/sandbox.py): an overlay of this machine's ``/``, with processes, network and
host name of its own. Nothing is asked, the real ``/`` is not touched, and nothing stays behind.
"""

import difflib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed import sandbox
from testbed.daemon import Daemon, prepare
from testbed.gitserver import GitServer
from testbed.programs import wait_until

EXAMPLE = sandbox.PROJECT / "examples/compute-configs"
SETTINGS = 'interval = 1\nfirst_start = "apply"\nargs = ["compute"]'
STUBBED = ("systemctl",)  # what must not run for real in a sandbox: it would reach for this machine's services
SSSD, HOSTS, PROLOG = Path("/etc/sssd/sssd.conf"), Path("/etc/hosts"), Path("/etc/slurm/prolog.d/50-scratch")
STOP_SECONDS = 5

held = 0


def say(text: str = "") -> None:
    print(text, flush=True)


def check(claim: str, holds: bool) -> None:
    """Print a claim; end the demo where it does not hold."""
    global held  # noqa: PLW0603 - one counter for the closing line
    say(f"   {'ok' if holds else 'NOT TRUE'}: {claim}")
    if not holds:
        sys.exit(1)
    held += 1


@contextmanager
def stage(title: str) -> Iterator[None]:
    say(f"\n== {title}")
    begun = time.monotonic()
    yield
    say(f"   ({time.monotonic() - begun:.1f} s)")


def main() -> None:
    sandbox.enter("compute-001")
    begun = time.monotonic()
    untouched = text_of(HOSTS)
    sandbox.stub(STUBBED)
    with stage("a git server on loopback, a deploy key made as the guide says, encrypted with a password"):
        server = make_server()
    before = {path for _, path in sandbox.changes()}
    with server:
        daemon = Daemon(hear=lambda line: say(f"   | {line}"))
        first_boot(daemon, server)
        second_commit(daemon, server)
        drift(daemon, server)
        stop(daemon, server)
    show_difference(before)
    with stage("the machine itself"):
        check("the real /etc/hosts is as it was", text_of(sandbox.LOWER / "etc/hosts") == untouched)
    say(f"\nall {held} claims held, in {time.monotonic() - begun:.1f} s")


def make_server() -> GitServer:
    server = GitServer(Path("/tmp/server"), port=2222)
    shutil.copytree(EXAMPLE, server.work, dirs_exist_ok=True)
    commit = server.commit("Configure compute nodes")
    prepare(server, settings=SETTINGS)
    say("   ssh-keygen -t ed25519 -f key")
    say("   openssl enc -aes-256-cbc -a -salt -pbkdf2 -in key -out key.enc")
    check("key.enc is what openssl writes, base64 of 'Salted__'", server.encrypted_key.read_text().startswith("U2Fsd"))
    say(f"   {server.url} main is {commit[:12]}")
    return server


def first_boot(daemon: Daemon, server: GitServer) -> None:
    with stage("nodeagent run: what a node does at boot"):
        daemon.wait_applied(server.git("rev-parse", "HEAD"))
        check("a copied file is there", SSSD.read_text() == (EXAMPLE / "files/sssd/sssd.conf").read_text())
        check("its mode is the one that post.sh gives", SSSD.stat().st_mode & 0o7777 == 0o600)
        check("an executable file is executable", os.access(PROLOG, os.X_OK))
        check("lines were appended to /etc/hosts, once", HOSTS.read_text().count("mgmt.cluster.example") == 1)
        check("a postscript wrote /etc/motd", "compute node compute-001" in Path("/etc/motd").read_text())
        check("the guide's log line is there", any("Running scratch /var/scratch..." in line for line in daemon.lines))
        check("services were restarted", "systemctl restart ssh" in stub_calls())
        check("the decrypted key is on no disk", not find_on_disk(server.private_key_line))


def second_commit(daemon: Daemon, server: GitServer) -> None:
    with stage("a second commit: one file changed, one line of the appended text changed"):
        for name, old, new in (
            ("sssd/sssd.conf", "enumerate = false", "enumerate = true"),
            ("hosts/cluster", "10.10.0.3", "10.10.0.33"),
        ):
            file = server.work / "files" / name
            file.write_text(file.read_text().replace(old, new))
        daemon.wait_applied(server.commit("Move the file server"))
        check("the changed file is there", "enumerate = true" in SSSD.read_text())
        hosts = HOSTS.read_text()
        check(
            "the changed line took the place of the old one", "10.10.0.33 nfs" in hosts and "10.10.0.3 nfs" not in hosts
        )
        check("nothing was appended twice", hosts.count("mgmt.cluster.example") == 1)


def drift(daemon: Daemon, server: GitServer) -> None:
    with stage("drift: a file changed by hand, another one removed"):
        wanted, calls = SSSD.read_text(), stub_calls()
        SSSD.write_text("by hand\n")
        PROLOG.unlink()
        wait_until("the removed file is back", PROLOG.exists)
        wait_until("the changed file is back", lambda: SSSD.read_text() == wanted)
        server.wait_polls(2)
        check("both are as the repository says", SSSD.read_text() == wanted and os.access(PROLOG, os.X_OK))
        check("their modes too", SSSD.stat().st_mode & 0o7777 == 0o600)
        check("no step was run for it", stub_calls() == calls)
        said = len(daemon.lines)
        server.wait_polls(2)
        check("cycles without news say nothing", len(daemon.lines) == said)


def stop(daemon: Daemon, server: GitServer) -> None:
    with stage("SIGTERM"):
        status, seconds = daemon.stop()
        check(f"the daemon ends with 0 within {STOP_SECONDS} s", status == 0 and seconds < STOP_SECONDS)
        check("the password was never printed", not any(server.password in line for line in daemon.lines))
        check("no key is left on the tmpfs", not find_below(Path("/run/nodeagent"), b"OPENSSH PRIVATE KEY"))


def show_difference(before: set[Path]) -> None:
    with stage("what differs from the machine as it was (A added, M changed, D removed)"):
        found = [(sign, path) for sign, path in sandbox.changes() if path not in before and is_the_nodes(path)]
        for sign, path in found:
            say(f"   {sign} {path}")
        old = text_of(sandbox.LOWER / "etc/hosts").splitlines()
        for line in difflib.unified_diff(
            old, HOSTS.read_text().splitlines(), "/etc/hosts", "/etc/hosts", lineterm="", n=1
        ):
            say(f"     {line}")
        names = {str(path) for _, path in found}
        check("post.sh's files are among them", {str(SSSD), str(HOSTS), str(PROLOG), "/etc/motd"} <= names)
        check(
            "no temporary file is", not any(path.name.startswith(".") and path.name != ".gitkeep" for _, path in found)
        )


def is_the_nodes(path: Path) -> bool:
    """Not the agent's own: what it keeps, what it fetched, and the checkout."""
    own = ("/var/lib/nodeagent", "/var/cache/nodeagent", "/configs", str(sandbox.PROJECT))
    return not str(path).startswith(own) and "__pycache__" not in path.parts


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def stub_calls() -> list[str]:
    return text_of(sandbox.STUB_LOG).splitlines()


def find_on_disk(text: str) -> list[Path]:
    return find_below(sandbox.UPPER, text.encode())


def find_below(directory: Path, content: bytes) -> list[Path]:
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if content in path.read_bytes()]


if __name__ == "__main__":
    main()
