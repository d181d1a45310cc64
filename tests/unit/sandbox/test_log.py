import contextlib
import socket

import pytest

from nodeagent.sandbox.log import Log


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (b"<13>Nov 22 18:10:01 postscripts: hello", ["postscripts: hello"]),
        (b"<30>Nov  2 08:10:01 a[12]: x\n\0", ["a[12]: x"]),
        (b"no head", ["no head"]),
        (b"<13>a: two\nlines \xff", ["a: two", "lines \\xff"]),
        (b"", []),
    ],
)
def test_a_message_is_said_without_priority_and_time(tmp_path, message, lines):
    with contextlib.closing(Log(str(tmp_path / "log"))) as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(message, str(tmp_path / "log"))
        assert list(log.lines()) == lines
        assert list(log.lines()) == []
