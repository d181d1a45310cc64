"""``/dev/log`` inside: what ``logger`` and syslog(3) send there is said as post.sh's output, and reaches no log."""

import re
import socket
from collections.abc import Iterator

_LONGEST = 8192  # bytes of a message
_AT_ONCE = 100  # messages: what floods the socket does not keep its reader from the rest
_HEAD = re.compile(rb"^(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?")  # RFC 3164, 4.1, as senders write it


class Log:
    """The reader's end. It is bound outside, where the sandbox's ``/dev`` is being built."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(path)

    def fileno(self) -> int:
        return self._socket.fileno()

    def lines(self) -> Iterator[str]:
        """What has come, without priority and time: ``TAG: TEXT``."""
        for _ in range(_AT_ONCE):
            try:
                message = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return
            yield from _HEAD.sub(b"", message, count=1).rstrip(b"\0\n").decode(errors="backslashreplace").splitlines()

    def close(self) -> None:
        self._socket.close()
