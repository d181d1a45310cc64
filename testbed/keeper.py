"""Holds the namespaces of a test machine: a network with loopback only, and a mount namespace.

``python -m testbed.keeper [DIRECTORY]``: mounts a tmpfs there, if one is named, says so on stdout, and stays until
stdin ends. A machine whose disk is on that tmpfs leaves nothing, however the test ends.
"""

import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
from pathlib import Path

from testbed.loopback import raise_loopback
from testbed.programs import run

DIES_WITH_OWNER = ("setpriv", "--pdeathsig", "KILL")


def start(*memory: Path) -> "subprocess.Popen[str]":
    """Start it, and return when the namespaces are there.

    Raises:
        RuntimeError: they cannot be made.
    """
    keeper = subprocess.Popen(
        [*DIES_WITH_OWNER, "unshare", "--mount", "--net", sys.executable, "-m", "testbed.keeper", *memory],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    if keeper.stdout.readline() != "ready\n":
        raise RuntimeError("the namespaces of the test machine could not be made: root is needed")
    return keeper


def main() -> None:
    raise_loopback()
    for directory in sys.argv[1:]:
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
