"""Give up root, for good: what speaks to the network runs as a user that owns nothing but its store."""

import ctypes
import os
import pwd
import resource
import signal

from nodeagent.errors import FetchUserMissing

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63  # the kernel keeps 64 bits

_libc = ctypes.CDLL(None, use_errno=True)


def confine(user: str) -> None:
    """Irrevocably become the user, without groups, capabilities, core dumps or the parent's environment.

    The process dies with its parent, and a process of the same user can neither trace nor dump it. Descriptors stay:
    who forked closes what was not meant for this process. A process that is not root only hardens itself, and must
    be that user already.

    Raises:
        FetchUserMissing: there is no such user, or this process may not become it.
    """
    entry = account(user)
    if os.geteuid() == 0:
        _drop_bounding_set()
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)  # from root, this clears every capability
    if os.getresuid() != (entry.pw_uid,) * 3 or 0 in (entry.pw_uid, entry.pw_gid):
        raise FetchUserMissing(
            f"user {user}: cannot become it from user {os.geteuid()}: it must be an unprivileged user"
        )
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 0)  # a change of user resets these two: they come after it
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(PATH="/usr/bin:/bin", HOME="/nonexistent", USER=user, LOGNAME=user, LC_ALL="C.UTF-8")


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


def _drop_bounding_set() -> None:
    """Take away what a set-user-ID or file-capability program could give back."""
    for capability in range(LAST_CAPABILITY + 1):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # EINVAL: past the kernel's last one; EPERM: not ours to drop, and no_new_privs holds anyway


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
