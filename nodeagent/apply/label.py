"""The SELinux label of something new: what the node's policy has for its path, from the first moment.

It is made under a temporary name in its directory, so the kernel would not give it what a rule for its name says. The
policy is asked through libselinux, which every system with SELinux has; elsewhere nothing is done. What replaces a file
carries that one's label instead (:mod:`nodeagent.apply.atomic`).
"""

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator

_LIBRARY = "libselinux.so.1"
_ENABLED = "/sys/fs/selinux/enforce"  # there while a policy is loaded, enforcing or not
_FSCREATE = "/proc/thread-self/attr/fscreate"  # the label of what this thread makes; see setfscreatecon(3)
_FILES = 0  # SELABEL_CTX_FILE, selabel_open(3)
_NOT_OURS = frozenset({errno.EACCES, errno.EPERM})  # the policy does not let the agent choose: the kernel does


@contextlib.contextmanager
def from_policy(path: str, kind: int) -> Iterator[None]:
    """Give what is made inside the label of a path (absolute), of a file of this type (``S_IFMT`` bits).

    Raises:
        OSError: the kernel does not know the label.
    """
    label = _label_of(path, kind) if _is_enabled() else None
    if label is None:
        yield
        return
    _set(label)
    try:
        yield
    finally:
        _set(b"")


@functools.cache
def _is_enabled() -> bool:
    """Asked once a process, as it is asked for each file; a policy is loaded at boot or not at all."""
    return os.path.exists(_ENABLED)


def _label_of(path: str, kind: int) -> bytes | None:
    """What the policy has for a path; None when it has nothing, or cannot be asked."""
    asked = _policy()
    if asked is None:
        return None
    library, handle = asked
    found = ctypes.c_char_p()
    if library.selabel_lookup_raw(handle, ctypes.byref(found), os.fsencode(path), kind) != 0:
        return None
    label = found.value
    library.freecon(found)
    return label


@functools.cache
def _policy() -> tuple[ctypes.CDLL, ctypes.c_void_p] | None:
    """libselinux, and the file contexts that it has read, once a process."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.selabel_open.argtypes = [ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint]
    library.selabel_open.restype = ctypes.c_void_p
    pointer = ctypes.POINTER(ctypes.c_char_p)
    library.selabel_lookup_raw.argtypes = [ctypes.c_void_p, pointer, ctypes.c_char_p, ctypes.c_int]
    library.freecon.argtypes = [ctypes.c_char_p]
    library.freecon.restype = None
    handle = library.selabel_open(_FILES, None, 0)
    return (library, ctypes.c_void_p(handle)) if handle else None


def _set(label: bytes) -> None:
    try:
        fd = os.open(_FSCREATE, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(fd, label)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
