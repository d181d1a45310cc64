"""What the agent asks the kernel about the node it runs on."""

import contextlib
import errno
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from nodeagent.errors import InvalidConfiguration, NodeUnusable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What systemd told the agent is not for post.sh: a script that answers NOTIFY_SOCKET would speak for the service.
_OURS = ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "JOURNAL_STREAM")

# What the node, and not the agent, is to blame for; and what to do.
_REFUSALS = {
    errno.ENOSPC: "make room on its filesystem",
    errno.EDQUOT: "raise the quota, or make room",
    errno.EROFS: "its filesystem is read-only: see the kernel's log, and mount it writable",
    errno.EIO: "its device fails: see the kernel's log",
    errno.EACCES: "let root write there",
    errno.EPERM: "let root write there (lsattr shows an immutable file)",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise fs.file-max",
    errno.ENOMEM: "the node has no memory left",
}


@contextlib.contextmanager
def needs(place: Path | None = None) -> Iterator[None]:
    """Do what the agent needs for itself; ``place`` is named where an error carries no file name of its own.

    Raises:
        NodeUnusable: the node refuses it, because something is full, read-only or broken. Without a place and a name
            the error is left as it is.
    """
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else place
        advice = _REFUSALS.get(error.errno or 0)
        if named is None or advice is None:
            raise
        raise NodeUnusable(f"{named}: {error.strerror}: {advice}; what is left to do is still due") from error


def boot_id() -> str:
    """Differs after each boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def uptime() -> float:
    """Seconds since the node's first process started: in a container its own, not the host's."""
    host = float(Path("/proc/uptime").read_text().split()[0])
    started = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    return host - started / os.sysconf("SC_CLK_TCK")


def hostname() -> str:
    """The node's name as the kernel has it, without the domain."""
    return os.uname().nodename.split(".", 1)[0]


def login_environment(file: Path | None) -> Mapping[str, str]:
    """What root has after a login, and what a file of ``NAME=VALUE`` lines adds (``#`` begins a comment line).

    Raises:
        InvalidConfiguration: the file cannot be read, or a line is none of these.
    """
    root = pwd.getpwuid(0)
    environment = {
        "HOME": root.pw_dir,
        "USER": root.pw_name,
        "LOGNAME": root.pw_name,
        "SHELL": root.pw_shell or "/bin/sh",
        "PATH": _PATH,
        "LANG": "C.UTF-8",
    }
    return environment if file is None else environment | _read_environment(file)


def _read_environment(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise InvalidConfiguration(f"environment_file: {file} cannot be read: {error.strerror}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or not name.isidentifier():
            raise InvalidConfiguration(f"environment_file: {file}:{number}: NAME=VALUE is needed")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


def inherited_environment() -> Mapping[str, str]:
    """The caller's environment, for ``apply --repo``: as if they had started post.sh by hand."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
