"""Where a redirection of the shell's leads: whether it can be opened, and whether it is nodeagent's to place."""

import errno
import os
import stat

_REFUSED = frozenset(
    {errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENXIO, errno.EPERM}
)

LEFT_TO_SHELL = ("/dev", "/proc", "/sys", "/var/log", "/run/log")


def refusal(path: str) -> str:
    """Why a redirection to this resolved path cannot be opened; empty: it can (the file may be missing).

    Only what the path and its permissions refuse to everybody alike. What else the agent meets (no descriptor left, a
    disk that fails) the shell may not: what the agent gave up the shell would append, and the next evaluation again.
    And a program that is being run cannot be written, but can be replaced.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        above = os.path.dirname(path)
        if os.access(above, os.W_OK | os.X_OK):
            return ""
        return "nothing can be made in its directory" if os.path.isdir(above) else "there is no such directory"
    except OSError as error:
        return os.strerror(error.errno) if error.errno in _REFUSED else ""
    return ""


def is_plain_destination(path: str, *, cwd: str) -> bool:
    """Whether ``>>`` and ``>`` to this path are for nodeagent to place.

    Logs grow by every run on purpose, the kernel's filesystems are no files, and what exists and is no regular file
    (a fifo, a device, a directory) is no configuration: all these are left to the shell.
    """
    absolute = os.path.normpath(os.path.join(cwd, path))
    resolved = os.path.realpath(absolute)
    for candidate in (absolute, resolved):
        if candidate.endswith(".log") or any(_is_under(candidate, top) for top in LEFT_TO_SHELL):
            return False
    try:
        return stat.S_ISREG(os.stat(resolved).st_mode)
    except OSError:
        return True  # what prevents it will be said when it is tried


def _is_under(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")
