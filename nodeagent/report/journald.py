"""journald's socket, for one that must not wait for ever (the native protocol of ``systemd.journal-fields(7)``).

systemd's own library waits without a limit when journald reads no more, and systemd-python does so with the
interpreter's lock held: a stopped journald would stop the daemon, and the watchdog would end it.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
"""Where it stands on every node: the path is part of the protocol."""

PATIENCE = 5.0
"""Seconds that may be waited in all, well below the unit's WatchdogSec."""
_REGAINED = 0.02
"""Seconds of patience that each entry gives back: journald may be that slow for ever, and nothing is lost."""


class Journald:
    """Sends entries.

    Where journald is slow it is waited for, as every service does: so a script that floods its output is slowed down
    to what the node can log. Where it does not read at all, patience comes to an end once, and from then on entries
    are offered without waiting until one is taken.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._most = self._patience = patience
        self._socket: socket.socket | None = None

    def send(self, fields: Mapping[str, str]) -> bool:
        """Send one entry; returns whether it was taken."""
        datagram = b"".join(_field(name, os.fsencode(value)) for name, value in fields.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with contextlib.suppress(BlockingIOError):
                self._socket.sendto(datagram, socket.MSG_DONTWAIT, str(SOCKET))
                self._patience = min(self._most, self._patience + _REGAINED)
                return True
            return self._wait(self._socket, datagram)
        except OSError:  # journald is gone
            return False

    def _wait(self, to: socket.socket, datagram: bytes) -> bool:
        """Send as soon as there is room, within the patience that is left."""
        if self._patience < _REGAINED:
            return False
        seconds, fraction = divmod(self._patience, 1)
        to.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(fraction * 1e6)))
        began = time.monotonic()
        try:
            to.sendto(datagram, str(SOCKET))
        except BlockingIOError:
            self._patience = 0.0
            return False
        self._patience = min(self._most, max(0.0, self._patience - (time.monotonic() - began)) + _REGAINED)
        return True


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
    return b"%s=%s\n" % (name.encode(), value)
