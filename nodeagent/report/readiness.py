"""``/run/nodeagent/ready``: there once post.sh has come to its end since boot; for whoever waits for a configured node.

It holds the revision that was applied last, as printed, and the boot id: one that outlived a boot (a runtime directory
that is no tmpfs) does not count. Units may test for it by ``ConditionPathExists=``. Nothing here needs more than the
standard library's quick parts: ``nodeagent ready`` is asked on a thousand nodes at once.
"""

import contextlib
import os

FILE = "ready"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def write(directory: str, revision: str) -> None:
    """Say that the node is ready, and with which revision.

    Raises:
        OSError: the directory does not take it.
    """
    temporary = f"{directory}/.{FILE}.new"  # there is one daemon, and nobody else may write here
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(descriptor, f"{revision}\n{_boot_id()}\n".encode())
        os.fchmod(descriptor, 0o644)
    finally:
        os.close(descriptor)
    os.rename(temporary, f"{directory}/{FILE}")


def remove(directory: str) -> None:
    """The node is not ready.

    Raises:
        OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{directory}/{FILE}")


def read(directory: str) -> str | None:
    """The revision that the node is ready with; None: it is not ready."""
    try:
        with open(f"{directory}/{FILE}", encoding="utf-8", errors="replace") as file:
            revision, boot = file.read(4096).splitlines()
    except (OSError, ValueError):
        return None
    return revision if boot == _boot_id() else None


def _boot_id() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
