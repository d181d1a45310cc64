"""A node without a disk: a virtual machine that QEMU emulates, booted by its network card's iPXE over TFTP.

Everything it has comes over the network at each boot, and is in its memory afterwards. Its network is QEMU's user mode
network, whose other side is a network namespace with loopback only: what listens there on 127.0.0.1 is found by the
node at 10.0.2.2, and there is nothing else.
"""

import contextlib
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from testbed import guest_agent
from testbed.diskless import Image
from testbed.keeper import DIES_WITH_OWNER
from testbed.programs import wait_until

HOST = "10.0.2.2"  # by which a node finds what listens on loopback
MEBIBYTES = 1024  # of memory; the root is in it, and may fill half
PROCESSOR = "qemu64,+rdrand"  # what a newer one can do besides, costs time to emulate
BOOTS_WITHIN = 600  # seconds: the processor is emulated, and others use the real one
COMMAND_LINE = (
    "rdinit=/usr/lib/systemd/systemd console=ttyS0 quiet mitigations=off audit=0 "
    "systemd.journald.forward_to_console=1"  # what it logged is there also when it never comes up
)


class NetbootNode:
    """One machine. ``network`` is put before QEMU's command line, to start it in the network of its servers.

    ``parameters`` are added to the kernel's command line, ``devices`` to QEMU's.
    """

    def __init__(
        self,
        directory: Path,
        image: Image,
        *,
        network: Sequence[str],
        host_name: str = "compute-001",
        parameters: str = "",
        devices: Sequence[str | Path] = (),
    ) -> None:
        self.host_name = host_name
        self.console = directory / "console.log"  # with the journal
        self._socket = directory / "agent"
        self._served = directory / "tftp"
        self._network = network
        self._devices = devices
        self._qemu: subprocess.Popen[bytes] | None = None
        self._left: str | None = None  # id of the boot that a reboot has ended
        self._serve(image, f"{COMMAND_LINE} systemd.hostname={host_name} {parameters}".rstrip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    # --- its life ----------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Return at once; :meth:`wait_up` waits."""
        qemu = [
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "pc,graphics=off", "-accel", "tcg", "-cpu", PROCESSOR, "-m", str(MEBIBYTES)),
            *("-serial", "stdio"),
            *("-netdev", f"user,id=net,ipv6=off,tftp={self._served},bootfile=boot.ipxe"),
            *("-device", "virtio-net-pci,netdev=net,bootindex=0"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={self._socket},server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *self._devices,
        ]
        with self.console.open("ab") as console:
            self._qemu = subprocess.Popen(
                [*DIES_WITH_OWNER, *self._network, *qemu], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )

    def wait_up(self) -> None:
        wait_until(f"{self.host_name} is up", lambda: self._boot_id() not in (None, self._left), seconds=BOOTS_WITHIN)

    def reboot(self) -> None:
        """Let it reboot itself, and return at once: iPXE loads everything anew, and :meth:`wait_up` waits."""
        self._left = self._boot_id()
        with contextlib.suppress(guest_agent.Unanswered):  # it may be quicker than its answer
            self.exec("systemctl", "reboot", "--no-block")

    def destroy(self) -> None:
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    # --- talking to it -----------------------------------------------------------------------------------------

    def exec(self, *command: str, stdin: str = "", check: bool = True, timeout: float = 120) -> str:
        """Run a command in the machine, as root, and return its stdout (with ``check=False``, whatever its status).

        Raises:
            RuntimeError: its exit status was not 0.
        """
        ended = guest_agent.run(self._socket, command, stdin=stdin, timeout=timeout)
        if check and ended.status != 0:
            raise RuntimeError(f"{' '.join(command)}: exit status {ended.status}\n{ended.output}{ended.errors}")
        return ended.output

    def status_of(self, *command: str) -> int:
        """The exit status of a command in the machine."""
        return guest_agent.run(self._socket, command).status

    def read(self, path: str) -> str:
        return self.exec("cat", path)

    def exists(self, path: str) -> bool:
        return self.status_of("test", "-e", path) == 0

    def wait_applied(self, commit: str) -> None:
        """Until the node is ready, and that commit applied."""
        waits = ("nodeagent", "ready", "--wait", "--timeout", str(BOOTS_WITHIN), "--revision", commit)
        self.exec(*waits, timeout=BOOTS_WITHIN + 10)

    def seconds_to_ready(self) -> float:
        """From the kernel's start to ``nodeagent-ready.target``."""
        asked = ("systemctl", "show", "nodeagent-ready.target", "--value", "--property=ActiveEnterTimestampMonotonic")
        return int(wait_until("nodeagent-ready.target is reached", lambda: int(self.exec(*asked)))) / 1e6

    # --- inner ways --------------------------------------------------------------------------------------------

    def _serve(self, image: Image, command_line: str) -> None:
        self._served.mkdir(parents=True)
        (self._served / "vmlinuz").symlink_to(image.kernel)
        script = [f"kernel vmlinuz {command_line}"]
        for number, archive in enumerate(image.initramfs):
            (self._served / f"initrd{number}").symlink_to(archive)
            script.append(f"initrd initrd{number}")
        (self._served / "boot.ipxe").write_text("\n".join(["#!ipxe", *script, "boot", ""]))

    def _boot_id(self) -> str | None:
        if self._qemu is None or self._qemu.poll() is not None:
            raise RuntimeError("QEMU has ended:\n" + self.console.read_text(errors="replace")[-4000:])
        try:
            return self.read("/proc/sys/kernel/random/boot_id")
        except guest_agent.Unanswered:
            return None
