"""Landlock: what of the files, the TCP ports and the processes of the node this process may still reach.

It comes with the kernel: files since 5.13, truncation since 6.2, ports since 6.7, signals and abstract sockets since
6.12. What a kernel lacks is left out. The numbers are those of ``linux/landlock.h``, the same on every machine.
"""

import contextlib
import ctypes
import functools
import os
import stat
import struct
from collections.abc import Collection, Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # a flag: give the version of the interface, make nothing
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # rename and link from one directory to another; truncate
_FILES = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: 1 << 15}  # which version brought what: the last is ioctl
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_A_FILE = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE

_BIND, _CONNECT = 1, 2
PORTS_SINCE = 4
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_SCOPES_SINCE = 6

_syscall = ctypes.CDLL(None, use_errno=True).syscall


@functools.cache
def version() -> int:
    """Of the kernel's interface; 0: it has none, or it was switched off at boot."""
    return max(0, int(_syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _VERSION)))


def restrict(*, read: Iterable[str], write: Iterable[str], run: Iterable[str], ports: Collection[int]) -> bool:
    """Take everything else away for good, from this process and what it may start. ``no_new_privs`` must be set.

    What is not there, or not within this user's reach, is left out. Descriptors that are open stay as they are.

    Args:
        read: files, and directories with all below.
        write: directories, to read, change and make files and directories in; no links, devices or sockets.
        run: programs to read and start, and directories of libraries.
        ports: TCP ports to connect to. None may be listened on.

    Returns:
        Whether anything was taken: False where the kernel does not know Landlock, or refuses.
    """
    known = version()
    handled = sum(rights for since, rights in _FILES.items() if since <= known)
    attributes = struct.pack("=3Q", handled, _BIND | _CONNECT, _ABSTRACT_SOCKETS | _SIGNALS)
    size = 8 + 8 * (known >= PORTS_SINCE) + 8 * (known >= _SCOPES_SINCE)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0) if known else -1
    if ruleset < 0:
        return False
    try:
        for paths, rights in ((read, _READ), (write, _WRITE), (run, _READ | _EXECUTE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        if known >= PORTS_SINCE:
            for port in ports:
                _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT, port), 0)
        return _call(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(OSError):
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(at).st_mode):
                rights &= _OF_A_FILE  # the kernel refuses a rule that grants a file what is a directory's
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, at), 0)
        finally:
            os.close(at)


def _call(number: int, *arguments: object) -> int:
    return int(_syscall(ctypes.c_long(number), *arguments))
