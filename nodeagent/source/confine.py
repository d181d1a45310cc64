"""Give up root, for good: what speaks to the network runs as a user that owns nothing but its store.

Four things hold it, each where another one might fail: the user, without capabilities and without a way to any;
resource limits; Landlock, which leaves it its store, its key's companion files and what a connection needs; and a
seccomp filter. The last two are as good as the node's kernel has them: :func:`missing` says what it lacks.
"""

import ctypes
import os
import pwd
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.errors import FetchUserMissing
from nodeagent.source import landlock, seccomp
from nodeagent.workers.child import allow_no_core, die_with_parent

PR_SET_DUMPABLE = 4  # linux/prctl.h
PR_GET_SECCOMP = 21
PR_SET_NO_NEW_PRIVS = 38
NO_CAPABILITIES = struct.pack("=Ii", 0x20080522, 0)  # linux/capability.h: version 3 of the call, this process
_LANDLOCK_BRINGS = {
    1: "files (that takes Landlock)",
    landlock.PORTS_SINCE: "TCP ports (Landlock 4, Linux 6.7)",
}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a confined process may still reach, as far as its user may.

    ``read``: files, and directories with all below; ``write``: directories. ``ports``: TCP ports to connect to; without
    any it has no socket at all. ``local_sockets``: also those of the node's own services. ``run``: programs, and the
    directories of their libraries. ``threads``: how many all processes of the user may have together; 0: none is made.
    """

    write: Sequence[str]
    read: Sequence[str] = ()
    ports: Sequence[int] = ()
    local_sockets: bool = False
    run: Sequence[str] = ()
    threads: int = 0


def confine(user: str, reach: Reach) -> None:
    """Irrevocably become the user, without groups, capabilities, core dumps or the parent's environment; see no more
    than what is within reach.

    No program but those can be started, and none could give anything back: ``no_new_privs`` switches off set-user-ID
    and file capabilities, so that the capability bounding set, which would cost 0.3 ms, need not be emptied too. The
    process dies with its parent, and a process of the same user can neither trace nor dump it. Standard output and
    error lead nowhere any more: they are the journal, or root's terminal, from which it could read, too. Other
    descriptors stay: who forked closes what was not meant for this process. A process that is not root only hardens
    itself, and must be that user already.

    Raises:
        FetchUserMissing: there is no such user, or this process may not become it.
    """
    parent = os.getppid()
    entry = account(user)
    if os.geteuid() == 0:
        _be_silent()
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if os.getresuid() != (entry.pw_uid,) * 3 or 0 in (entry.pw_uid, entry.pw_gid):
        raise FetchUserMissing(
            f"user {user}: cannot become it from user {os.geteuid()}: it must be an unprivileged user"
        )
    _call("capset", NO_CAPABILITIES, bytes(24))  # three empty sets of 64 bits
    _call("prctl", PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    _call(
        "prctl", PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0
    )  # a change of user resets this one, and who the process dies with
    die_with_parent(parent)
    allow_no_core()
    resource.setrlimit(resource.RLIMIT_NPROC, (reach.threads, reach.threads))
    os.umask(0o077)
    _replace_environment(PATH="/usr/bin:/bin", HOME="/nonexistent", USER=user, LOGNAME=user, LC_ALL="C.UTF-8")
    landlock.restrict(read=reach.read, write=reach.write, run=reach.run, ports=reach.ports)
    seccomp.restrict(network=bool(reach.ports), local=reach.local_sockets, programs=bool(reach.run))


def missing() -> Sequence[str]:
    """What this node's kernel cannot take away from a confined process, a few words each."""
    version = landlock.version()
    found = [what for since, what in _LANDLOCK_BRINGS.items() if version < since]
    if not seccomp.is_known() or _libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        found.append("system calls (that takes seccomp, and a filter for this machine)")
    return found


def account(user: str) -> pwd.struct_passwd:
    """Look the fetch user up.

    Raises:
        FetchUserMissing: there is no such user.
    """
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise FetchUserMissing(
            f"user {user}: does not exist, and the repository is never fetched as root: create it with "
            "systemd-sysusers (the package's sysusers.d/nodeagent.conf), or set source.user"
        ) from error


def _be_silent() -> None:
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for number in (1, 2):
        os.dup2(null, number)
    os.close(null)


def _replace_environment(**wanted: str) -> None:
    """As ``clear`` and ``update`` of the mapping, which in a fork take the time of a hundred pages of memory."""
    for name in list(os.environ):
        del os.environ[name]
    for name, value in wanted.items():
        os.environ[name] = value


def _call(function: str, *arguments: object) -> None:
    if _libc[function](*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
