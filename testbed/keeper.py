"""Holds the namespaces of a test machine: a network with loopback only, and a mount namespace with a tmpfs.

``python -m testbed.keeper DIRECTORY``: mounts a tmpfs there, says so on stdout, and stays until stdin ends. The
machine's disk is on that tmpfs, so that nothing is left of it, however the test ends.
"""

import sys

from testbed.loopback import raise_loopback
from testbed.programs import run


def main() -> None:
    raise_loopback()
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", sys.argv[1]])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
