"""Runs the agent's command line in a forked child of the warm test process, alone or under strace.

Each point of the crash tests happens in a mount namespace of its own, with an empty tmpfs over ``/run``.
"""

import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess  # noqa: TID251 - strace is what the tests are about
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from nodeagent.cli import apply as _warm
from nodeagent.cli.main import call
from tests.crash import world

__all__ = ["Ended", "apply", "in_a_room"]

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x00020000, 16384, 1 << 18
_LIMIT = 20.0  # seconds that one apply may take
_COMMAND = [
    "apply",
    f"--repo={world.REPOSITORY}",
    f"--state={world.LEDGER}",
    "--anytime",  # whoever else is tested on this machine
    "--json",
    "--detailed-exitcodes",
]
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
assert _warm


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. ``status``: as of a shell; ``calls``: strace's lines, if it looked on."""

    status: int
    said: str
    calls: Sequence[str] = ()
    took: float = 0.0


def in_a_room(size: str = "64m") -> None:
    """Put this process into a mount namespace of its own, with an empty tmpfs over ``/run``; it adopts orphans."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    mount_tmpfs(Path("/run"), size=size)


def mount_tmpfs(place: Path, *, size: str) -> None:
    _check(_libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, f"mode=0755,size={size}".encode()))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def apply(
    *, strace: Sequence[str] = (), kill_after: float | None = None, whole_tree: bool = False, force: bool = False
) -> Ended:
    """Run ``nodeagent apply`` on the world, in a process group of its own.

    Args:
        strace: options of strace, which looks at the agent's process alone; none: without it.
        kill_after: send SIGKILL after so many seconds.
        whole_tree: after the agent's end, kill what it has left running in the same moment.
        force: ``--force``.
    """
    read, write = os.pipe()
    output = os.memfd_create("output")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        _be_agent([*_COMMAND, *(["--force"] if force else [])], gate=read, output=output)
    with contextlib.ExitStack() as stack:
        os.close(read)
        os.setpgid(pid, pid)
        calls = stack.enter_context(_traced(pid, strace)) if strace else list[str]()
        os.close(write)  # the agent may begin
        status = _wait(pid, kill_after)
        if whole_tree or status == 128 + signal.SIGALRM:
            _kill_children()
    with open(output, "rb", closefd=True) as file:
        file.seek(0)
        said = file.read().decode(errors="replace")
    return Ended(status=status, said=said, calls=tuple(calls), took=time.monotonic() - began)


def _be_agent(argv: Sequence[str], *, gate: int, output: int) -> NoReturn:
    """What ``nodeagent`` does as a program, traceback included."""
    status = 1
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - pytest has put others there
        environment = world.environment()
        os.environ.clear()
        os.environ.update(environment)
        while os.read(gate, 1):  # until the other end is closed
            pass
        status = call(argv)
    except BaseException:  # noqa: BLE001 - the very top of a process
        with contextlib.suppress(OSError):
            os.write(2, traceback.format_exc().encode())
    os._exit(status)


def _kill_children() -> None:
    """Kill whatever was left to this process, but for strace."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        left = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() != "strace\n"]
        if not left:
            return
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _wait(pid: int, kill_after: float | None) -> int:
    descriptor = os.pidfd_open(pid)
    try:
        with select_on(descriptor) as ended:
            if kill_after is not None and not ended(kill_after):
                os.kill(pid, signal.SIGKILL)
            elif not ended(_LIMIT):
                os.kill(pid, signal.SIGALRM)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(descriptor)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def select_on(descriptor: int) -> Iterator[Callable[[float], bool]]:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    yield lambda seconds: bool(poll.poll(seconds * 1000))


@contextlib.contextmanager
def _traced(pid: int, options: Sequence[str]) -> Iterator[list[str]]:
    """Attach strace; the list is filled when the process has ended."""
    log = Path(f"/dev/shm/strace-{pid}")
    lines: list[str] = []
    tracer = subprocess.Popen(
        ["strace", "-y", "-s", "40", "-o", str(log), *options, "-p", str(pid)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert tracer.stderr is not None
    first = tracer.stderr.readline()  # from here on the process makes no call unseen
    assert re.search(rb"Process \d+ attached", first), first
    try:
        yield lines
    finally:
        tracer.stderr.close()
        tracer.wait(10)
        lines += log.read_text(errors="replace").splitlines()
        log.unlink()
