"""A seccomp filter: system calls that a worker which speaks to the network never needs are refused.

It is a list of what is refused, not of what is allowed: a C library or a kernel that is newer than this page makes
calls that nobody could have listed, and a node must not lose its configuration over them. What is on the list reaches
other processes, the kernel's own machinery, or sockets of the node; a refused call fails with EPERM (a socket with
EAFNOSUPPORT, as where the kernel lacks the family), nothing is killed. Machines other than :data:`MACHINES` have no
filter. Formats: ``linux/filter.h``, ``linux/seccomp.h``; numbers: the kernel's ``unistd.h`` of each machine.
"""

import ctypes
import errno
import functools
import mmap
import os
import socket
import struct
import sys
from collections.abc import Mapping

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
MACHINES = tuple(_AUDIT_ARCH)

REFUSED: Mapping[str, tuple[int | None, int | None]] = {  # on x86_64, on aarch64
    # other processes: look into them, signal them, change them, talk with them past every file
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "shmat": (30, 196),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),  # memory that no limit counts, as a shared mapping of no file is
    "memfd_secret": (447, 447),
    # another process or program, another view of the node
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # machinery of the kernel in which holes are found again and again
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    # the node itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    # what waits for connections; pairs of sockets, one end of which can be turned to anybody's socket
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "socketpair": (53, 199),
}
JUDGED: Mapping[str, tuple[int, int]] = {  # by their arguments
    "prlimit64": (302, 261),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "mmap": (9, 222),
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
}

_Instruction = tuple[int, int, int, int]
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, k
_LOAD, _EQUAL, _ABOVE, _SET, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # where they stand in struct seccomp_data
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000  # x86_64: calls of a third ABI, with numbers of their own, begin here
_NAMESPACES = 0x7E020000  # every CLONE_NEW* of linux/sched.h that clone(2) takes
_START = ("execve", "execveat")
_THREAD = 0x10000  # CLONE_THREAD: without it, a process is made
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into a terminal
_SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
_FAST_OPEN = 0x20000000  # MSG_FASTOPEN: a connection that begins with data, which Landlock does not ask about
_KIND = 0xF  # of a socket: the rest of the argument are flags
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_known(machine: str = os.uname().machine) -> bool:
    """Whether there is a filter for this machine."""
    return machine in MACHINES and sys.byteorder == "little"


def restrict(*, network: bool, local: bool = False, programs: bool = False) -> bool:
    """Put the filter on, for good, on this process and what it may start. ``no_new_privs`` must be set.

    Args:
        network: TCP, UDP and the question for the node's own addresses remain; else no socket at all.
        local: with it, sockets of the node (AF_UNIX) remain, too.
        programs: may be started.

    Returns:
        Whether the filter is on: False on another machine, or where the kernel has no seccomp.
    """
    if not is_known():
        return False
    packed = program(os.uname().machine, network, local, programs)
    filtered = _Program(len(packed) // _INSTRUCTION.size, packed)
    return bool(_prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(filtered), 0, 0) == 0)


@functools.cache
def program(machine: str, network: bool, local: bool, programs: bool) -> bytes:
    """The filter; called once in the process that forks the workers, it is ready in all of them."""
    at = MACHINES.index(machine)
    judged = {
        "prlimit64": [_argument(0), (_EQUAL, 1, 0, 0), _refuse(), _allow()],  # of others
        "clone": [_argument(0), (_SET, 1, 0, _NAMESPACES), (_SET, 1, 0, _THREAD), _refuse(), _allow()],
        "clone3": [_refuse(errno.ENOSYS)],  # its flags lie in memory, out of reach; the C library takes clone then
        "ioctl": [_argument(1), (_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _refuse(), _allow()],
        "mmap": [_argument(3), (_AND, 0, 0, _SHARED), (_EQUAL, 0, 1, _SHARED), _refuse(), _allow()],
        "socket": _socket(local=local) if network else [_refuse(errno.EAFNOSUPPORT)],
        **{name: _send(flags) for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3))},
    }
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, _AUDIT_ARCH[machine]), _refuse(), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        code += [(_ABOVE, 0, 1, _X32 - 1), _refuse()]
    for name, block in judged.items():
        code += [(_EQUAL, 0, len(block), JUDGED[name][at]), *block]
    numbers = [n for n in (pair[at] for name, pair in REFUSED.items() if not (programs and name in _START)) if n]
    for left, number in zip(range(len(numbers) - 1, -1, -1), numbers, strict=True):
        code.append((_EQUAL, left + 1, 0, number))
    code += [_allow(), _refuse()]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def _socket(*, local: bool) -> list[_Instruction]:
    """TCP or UDP over IP, the routing socket by which the C library learns its own addresses, and nothing else."""
    protocols = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    kinds = [_argument(1), (_AND, 0, 0, _KIND), (_ABOVE, 5, 0, socket.SOCK_DGRAM)]
    kinds += [_argument(2), *((_EQUAL, 2 - n, 0 if n < 2 else 1, p) for n, p in enumerate(protocols))]
    kinds += [_allow(), _refuse(errno.EAFNOSUPPORT)]
    netlink = [_argument(2), (_EQUAL, 0, 1, 0), _allow(), _refuse(errno.EAFNOSUPPORT)]
    code = [_argument(0)]
    if local:
        code += [(_EQUAL, 0, 1, socket.AF_UNIX), _allow()]
    code += [(_EQUAL, 0, len(netlink), socket.AF_NETLINK), *netlink]
    return [
        *code,
        (_EQUAL, 2, 0, socket.AF_INET),
        (_EQUAL, 1, 0, socket.AF_INET6),
        _refuse(errno.EAFNOSUPPORT),
        *kinds,
    ]


def _send(flags: int) -> list[_Instruction]:
    """Nothing that connects at the same time; the error is that of a kernel in which it is switched off."""
    return [_argument(flags), (_SET, 0, 1, _FAST_OPEN), _refuse(errno.EOPNOTSUPP), _allow()]


def _argument(number: int) -> _Instruction:
    """Load the lower half: what the kernel looks at in each of these calls is an int."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * number)


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _refuse(number: int = errno.EPERM) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)
