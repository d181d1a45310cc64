"""A test machine: a Debian of its own that systemd-nspawn boots in a second, with loopback as its only network.

It is known to nobody but its owner: not registered with machined, its mounts in a private namespace, every process of
it killed by the kernel when the owner ends.
"""

import os
import signal
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed import cgroup, keeper
from testbed.keeper import DIES_WITH_OWNER
from testbed.programs import run, wait_until

OWN_PROCESSES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")  # its first process takes all with it
INSIDE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_PAGER": "",
}
REBOOTED = 133  # systemd-nspawn's exit status when the machine asked to be started again


class Node:
    """One machine. ``seed`` is a directory whose files are on its disk before the first boot.

    The disk is an overlay of ``seed`` and ``layers`` (topmost first), its changes on a tmpfs.
    """

    def __init__(self, layers: Sequence[Path], directory: Path, *, host_name: str = "compute-001") -> None:
        self.seed = directory / "seed"
        self.console = directory / "console.log"
        self._layers = layers
        self._memory = directory / "memory"
        self._nspawn: subprocess.Popen[bytes] | None = None
        for needed in (self.seed / "etc", self._memory):
            needed.mkdir(parents=True)
        (self.seed / "etc/hostname").write_text(host_name + "\n")
        self._keeper = keeper.start(self._memory)
        self._cgroups: list[Path] = []
        self._disks = 0
        try:
            self._fresh_disk()
            self._cgroups = cgroup.make(f"nodeagent-test-{self._keeper.pid}")
        except BaseException:
            self.destroy()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    @property
    def network(self) -> tuple[str, ...]:
        """What to put before a command of the host, to run it beside the machine: in its network, outside of it."""
        return ("nsenter", f"--net=/proc/{self._keeper.pid}/ns/net")

    # --- its life ----------------------------------------------------------------------------------------------

    def boot(self, *, credentials: Mapping[str, str] | None = None) -> None:
        """Boot, and return when all units have been started."""
        nspawn = [
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
            f"--directory={self._root}",
            *("--network-namespace-path=/proc/self/ns/net", "--capability=CAP_NET_ADMIN", "--resolv-conf=off"),
            *(f"--set-credential={name}:{value}" for name, value in (credentials or {}).items()),
        ]
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*DIES_WITH_OWNER, *self._join_cgroups(), *self._enter_keeper(), *OWN_PROCESSES, *nspawn],
                env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        wait_until("the machine has booted", self._booted, seconds=60)

    def reboot(self, *, lose_disk: bool = False, credentials: Mapping[str, str] | None = None) -> None:
        """Let the machine reboot itself. ``lose_disk``: as a node whose root is in memory, it forgets everything."""
        self.exec("systemctl", "reboot", "--no-block")
        status = self._ended(60)
        if status != REBOOTED:
            raise RuntimeError(f"systemd-nspawn ended with {status} instead of {REBOOTED}")
        if lose_disk:
            self._fresh_disk()
        self.boot(credentials=credentials)

    def power_off(self) -> None:
        """Take the power away: every process of the machine is gone at once."""
        if self._nspawn is not None:
            os.kill(self.leader, signal.SIGKILL)
            self._ended(30)

    def destroy(self) -> None:
        """End every process of the machine; its disk goes with its mount namespace."""
        if self._nspawn is not None:
            self._nspawn.kill()
            self._nspawn.wait()
        self._keeper.kill()
        self._keeper.communicate()
        cgroup.remove(self._cgroups)

    # --- talking to it -----------------------------------------------------------------------------------------

    @property
    def leader(self) -> int:
        """The process id, outside, of the machine's process 1."""
        if self._nspawn is None:
            raise RuntimeError("the machine is not up")
        if (leader := _first_process_of(self._nspawn.pid)) is None:
            raise RuntimeError("the machine has no process 1:\n" + self.console.read_text(errors="replace")[-4000:])
        return leader

    def exec(self, *command: str, stdin: str = "", check: bool = True, timeout: float = 60) -> str:
        """Run a command in the machine, as root, and return its stdout (with ``check=False``, whatever its status).

        Raises:
            RuntimeError: its exit status was not 0.
        """
        inside = self._enter_leader(*command)
        if check:
            return run(inside, stdin=stdin, timeout=timeout)
        return subprocess.run(
            inside, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        ).stdout

    def status_of(self, *command: str) -> int:
        """The exit status of a command in the machine."""
        return subprocess.run(self._enter_leader(*command), capture_output=True, check=False, timeout=60).returncode

    def read(self, path: str) -> str:
        return self.exec("cat", path)

    def exists(self, path: str) -> bool:
        return self.status_of("test", "-e", path) == 0

    def write(self, path: str, text: str) -> None:
        self.exec("tee", path, stdin=text)

    def kept_journal(self) -> str:
        """The whole journal as it is on the disk, up or down, with every boot."""
        reader = ("journalctl", "--no-pager", "--output=short-precise", f"--directory={self._root}/var/log/journal")
        return run([*self._enter_keeper(), *reader])

    # --- inner ways --------------------------------------------------------------------------------------------

    @property
    def _root(self) -> Path:
        return self._memory / f"root{self._disks}"

    def _fresh_disk(self) -> None:
        self._disks += 1
        upper, work = (self._memory / f"{name}{self._disks}" for name in ("upper", "work"))
        lower = ":".join(map(str, [self.seed, *self._layers]))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        script = f"mkdir {upper} {work} {self._root} && mount -t overlay -o {options} overlay {self._root}"
        run([*self._enter_keeper(), "sh", "-ec", script])

    def _enter_keeper(self) -> list[str]:
        return ["nsenter", f"--target={self._keeper.pid}", "--mount", "--net"]

    def _join_cgroups(self) -> list[str]:
        join = "; ".join(f"echo 0 >{group}/cgroup.procs" for group in self._cgroups)
        return ["sh", "-ec", f'{join}; exec "$@"', "sh"]

    def _enter_leader(self, *command: str) -> list[str]:
        namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/")
        environment = (f"{name}={value}" for name, value in INSIDE_ENVIRONMENT.items())
        return ["nsenter", f"--target={self.leader}", *namespaces, "env", "-i", *environment, *command]

    def _booted(self) -> bool:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise RuntimeError("the machine did not boot:\n" + self.console.read_text(errors="replace")[-4000:])
        if _first_process_of(self._nspawn.pid) is None:
            return False
        return self.exec("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def _ended(self, seconds: float) -> int:
        assert self._nspawn is not None
        status = self._nspawn.wait(timeout=seconds)
        self._nspawn = None
        return status


def _first_process_of(unshare: int) -> int | None:
    """The machine's process 1: a grandchild, by way of systemd-nspawn; None while it is being made."""
    for child in _children(unshare):
        for grandchild in _children(child):
            status = Path(f"/proc/{grandchild}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 2 and numbers[-1] == "1":
                return grandchild
    return None


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
