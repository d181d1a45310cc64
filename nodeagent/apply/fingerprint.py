"""By what a source file is known again: an equal fingerprint means that nobody has touched it since it was read."""

import os
import struct
import time

_PRINT = struct.Struct("<QQIIIQqq")
_CLOCK_TICK = 100_000_000  # ns; a file's times come from a clock of the kernel's that ticks every 10 ms or faster


def fingerprint(found: os.stat_result) -> bytes:
    """Of a file, by its lstat."""
    return _PRINT.pack(
        found.st_dev,
        found.st_ino,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def before_reading(found: os.stat_result) -> bytes:
    """Of a file that is about to be read, by its stat just now; empty when it cannot be told from a later one.

    What was changed within the last tick of the clock may be changed once more with the same times.
    """
    return fingerprint(found) if time.time_ns() - found.st_ctime_ns >= _CLOCK_TICK else b""
