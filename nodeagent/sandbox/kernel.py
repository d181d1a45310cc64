"""The calls of the kernel that Python 3.11 has no words for: namespaces, mounts, capabilities."""

import ctypes
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Iterable
from enum import IntEnum, IntFlag


class Namespace(IntFlag):
    """CLONE_NEW* of <linux/sched.h>."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    PID = 0x20000000
    NETWORK = 0x40000000


class Mount(IntFlag):
    """MS_* of <linux/mount.h>."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    MOVE = 8192
    REC = 16384
    PRIVATE = 1 << 18


PLAIN = Mount(0)


class Capability(IntEnum):
    """What is left of root inside (<linux/capability.h>).

    Enough to place, own and mark files, to become another user, and to end its own processes. Not CAP_DAC_READ_SEARCH,
    though it only reads: it opens files by handle, past every mount namespace.
    """

    CHOWN = 0
    DAC_OVERRIDE = 1
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    NET_BIND_SERVICE = 10
    SETFCAP = 31


_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "riscv64": 41, "s390x": 217}  # not in glibc
_MNT_DETACH = 2
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
_INTERFACE = struct.Struct("16sh14x")  # struct ifreq: name, flags

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(namespaces: Namespace) -> None:
    """Leave the namespaces that this process shares with its parent; a new PID namespace is its children's.

    Raises:
        OSError: not root, or the kernel has none to give.
    """
    _check(_libc.unshare(int(namespaces)), "unshare")


def mount(source: str, target: str, kind: str, flags: Mount = PLAIN, data: str = "") -> None:
    """Mount a file system, or change a mount.

    Raises:
        OSError: with the target as its file name.
    """
    words = [os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), target)


def bind(source: str, target: str, flags: Mount = PLAIN) -> None:
    """Show a file or directory at a second place; flags such as RDONLY are for that place alone."""
    mount(source, target, "", Mount.BIND)
    if flags:
        mount("none", target, "", Mount.BIND | Mount.REMOUNT | flags)


def enter_root(directory: str) -> None:
    """Make a mount point the root of this mount namespace, and let go of all that was mounted before."""
    os.chdir(directory)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is not None and _libc.syscall(ctypes.c_long(number), b".", b".") == 0:
        _check(_libc.umount2(b".", _MNT_DETACH), directory)  # the old root lay on top of the new one
    else:  # an initramfs that never left its first root: it cannot be pivoted away, only be covered
        mount(".", "/", "", Mount.MOVE)
        os.chroot(".")
    os.chdir("/")


def raise_loopback() -> None:
    """Bring up ``lo``, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = _INTERFACE.unpack(fcntl.ioctl(control, _GET_FLAGS, _INTERFACE.pack(b"lo", 0)))[1]
        fcntl.ioctl(control, _SET_FLAGS, _INTERFACE.pack(b"lo", flags | _UP))


def drop_privileges(keep: Iterable[Capability] = tuple(Capability)) -> None:
    """Give up all capabilities but these for good: no program that is started, set-user-ID or not, has more.

    Nor can one look into this process (its descriptors lead outside), or have its crash handled by the node's core
    handler, which runs outside.
    """
    kept = sum(1 << capability for capability in keep)
    for number in range(_MOST_CAPABILITIES):
        if not kept >> number & 1 and _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0) != 0:
            break  # EINVAL: the kernel knows no higher one
    _check(_libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0), "prctl(PR_CAP_AMBIENT)")
    head = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    _check(_libc.capset(head, struct.pack("=6I", low, low, 0, high, high, 0)), "capset")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    _check(_libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
    # One byte, not none: a limit of 0 still lets the kernel start the handler that core_pattern names (core(5)).
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
