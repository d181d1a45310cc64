"""The loopback interface of a new network namespace is down; this brings it up without any program's help."""

import fcntl
import socket
import struct

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP of <linux/sockios.h>, <linux/if.h>
_REQUEST = struct.Struct("16sh14x")  # struct ifreq: name, flags


def raise_loopback() -> None:
    """Bring up ``lo`` in the network namespace of the calling process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _GET_FLAGS, _REQUEST.pack(b"lo", 0))
        flags = _REQUEST.unpack(answer)[1]
        fcntl.ioctl(control, _SET_FLAGS, _REQUEST.pack(b"lo", flags | _UP))
