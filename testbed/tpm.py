"""A TPM2 for one virtual machine: swtpm, which keeps what the chip would keep in a directory."""

import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.keeper import DIES_WITH_OWNER
from testbed.programs import wait_until


@contextmanager
def tpm2(directory: Path) -> Iterator[Sequence[str]]:
    """Start one with its state in ``directory``, which is made; what is to be added to QEMU's command line."""
    directory.mkdir()
    socket = directory / "control"
    swtpm = ("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory}", "--ctrl", f"type=unixio,path={socket}")
    with subprocess.Popen([*DIES_WITH_OWNER, *swtpm], stdin=subprocess.DEVNULL) as process:
        wait_until("swtpm listens", socket.exists)
        backend = ("-chardev", f"socket,id=tpm,path={socket}", "-tpmdev", "emulator,id=tpm2,chardev=tpm")
        yield (*backend, "-device", "tpm-tis,tpmdev=tpm2")
        process.kill()
