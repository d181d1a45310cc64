"""Whether the node knows what time it is."""

import ctypes

_LARGEST_ERROR = 16_000_000  # microseconds; the kernel's bound of a clock that nobody sets (NTP_PHASE_LIMIT)
_libc = ctypes.CDLL(None, use_errno=True)


class _Timex(ctypes.Structure):
    """The beginning of ``struct timex`` (adjtimex(2)); the rest only reserves room (208 bytes on 64-bit Linux)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("_room", ctypes.c_char * 224),
    )


def is_synchronised() -> bool:
    """Whether something sets the clock: the kernel then knows a bound of its error, as timedatectl(1) judges it."""
    found = _Timex()
    return bool(_libc.adjtimex(ctypes.byref(found)) >= 0 and found.maxerror < _LARGEST_ERROR)
