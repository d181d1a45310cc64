"""Commands in a virtual machine, by way of QEMU's guest agent: JSON lines on a socket of the host.

The protocol is QEMU's (docs/interop/qemu-ga-ref).
"""

import base64
import json
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.programs import wait_until

ANSWERS_WITHIN = 10  # seconds


class Unanswered(Exception):
    """The machine is not up, or not far enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended in the machine."""

    status: int
    output: str
    errors: str


def run(socket_path: Path, command: tuple[str, ...], *, stdin: str = "", timeout: float = 120) -> Ended:
    """Run a command as root.

    Raises:
        Unanswered: the agent said nothing.
        TimeoutError: the command did not end within so many seconds.
    """
    program, *arguments = ("/usr/bin/env", *command)
    started = _ask(
        socket_path,
        "guest-exec",
        {
            "path": program,
            "arg": arguments,
            "capture-output": True,
            "input-data": base64.b64encode(stdin.encode()).decode(),
        },
    )

    def ended() -> dict[str, Any] | None:
        answer: dict[str, Any] = _ask(socket_path, "guest-exec-status", {"pid": started["pid"]})
        return answer if answer["exited"] else None

    answer = wait_until(f"{' '.join(command)} has ended", ended, seconds=timeout)
    assert answer is not None
    return Ended(
        status=answer.get("exitcode", 255),  # it has none when a signal ended it
        output=base64.b64decode(answer.get("out-data", "")).decode(errors="replace"),
        errors=base64.b64decode(answer.get("err-data", "")).decode(errors="replace"),
    )


def _ask(socket_path: Path, name: str, arguments: dict[str, Any]) -> Any:
    token = secrets.randbits(31)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWERS_WITHIN)
        try:
            connection.connect(str(socket_path))
            with connection.makefile("rwb") as stream:
                _say(stream, "guest-sync", {"id": token})
                while _answer(stream).get("return") != token:
                    pass  # an answer to one who did not wait for it
                _say(stream, name, arguments)
                answer = _answer(stream)
        except OSError as error:
            raise Unanswered(f"{socket_path}: {error}") from error
    if "error" in answer:
        raise RuntimeError(f"{name}: {answer['error']}")
    return answer["return"]


def _say(stream: Any, name: str, arguments: dict[str, Any]) -> None:
    stream.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
    stream.flush()


def _answer(stream: Any) -> dict[str, Any]:
    line = stream.readline()
    if not line:
        raise ConnectionError("the connection was closed")
    answer: dict[str, Any] = json.loads(line.lstrip(b"\xff"))
    return answer
