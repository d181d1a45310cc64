"""The one place that starts programs, and ends them with all that they started."""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess  # noqa: TID251 - the door
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nodeagent.node import needs

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_TICKS = os.sysconf("SC_CLK_TCK")
_ANSWER_LIMIT = 64 * 1024  # bytes


def adopt_orphans(enabled: bool) -> None:
    """Make this process the parent of what its descendants leave behind, so that a step's tree stays in reach."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(enabled), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def ticks() -> int:
    """The age of the system in clock ticks: the unit of a process's start time."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


class Process:
    """A program under way, in a process group of its own, as a login shell's jobs have: its ``kill 0`` is its own."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self.pid = popen.pid
        self.descriptor = os.pidfd_open(popen.pid)  # readable when the program has ended

    @classmethod
    def start(
        cls, argv: Sequence[str], *, cwd: str, environment: Mapping[str, str], output: int, umask: int = 0o022
    ) -> Self:
        """Start a program with ``/dev/null`` as its input; ``output`` is the descriptor for its stdout and stderr.

        Raises:
            OSError: the program cannot be started.
        """
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(137)
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)

        return cls(
            subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=umask,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the agent has one thread
            )
        )

    def poll(self) -> int | None:
        """The exit status, 128+N after signal N, or None while it runs.

        Orphans that have ended (see :func:`adopt_orphans`) are collected: a script that waits until a daemon is gone
        (``while kill -0 $pid``) would else wait for ever.
        """
        reap_orphans(self.pid)
        code = self._popen.poll()
        return None if code is None else status_of(code)

    def signal(self, number: int) -> None:
        if self._popen.returncode is None:
            self._popen.send_signal(number)

    def end(self) -> None:
        """Make sure that it has ended, and let go of it."""
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        reap_orphans(self.pid)
        os.close(self.descriptor)


def status_of(code: int) -> int:
    """A return code of subprocess as a shell's ``$?``."""
    return 128 - code if code < 0 else code


@dataclass(frozen=True, slots=True)
class _Entry:
    pid: int
    parent: int
    group: int
    started: int


def _processes() -> Iterator[_Entry]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_bytes().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it has ended meanwhile
            if fields[0] not in (b"Z", b"X"):
                yield _Entry(int(name), int(fields[1]), int(fields[2]), int(fields[19]))


def descendants(*, since: int, spare: int) -> list[int]:
    """All processes below this one that started at or after ``since`` (see :func:`ticks`), but for ``spare``."""
    by_parent: dict[int, list[_Entry]] = {}
    for entry in _processes():
        by_parent.setdefault(entry.parent, []).append(entry)
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        for entry in by_parent.get(pending.pop(), ()):
            pending.append(entry.pid)
            if entry.started >= since and entry.pid != spare:
                found.append(entry.pid)
    return found


def end_descendants(number: int, *, since: int, spare: int) -> int:
    """Send a signal to a step's whole tree; returns how many processes it had."""
    pids = descendants(since=since, spare=spare)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(pids)


class StepMark:
    """A note on tmpfs of the step under way, for the agent that comes after one that was killed.

    The shell dies with its agent, but what a step runs does not, and the step is due again. The note holds the agent's
    pid, the shell's process group, which the kernel gives to nobody else as long as one of its members lives, and when
    the step began: what an earlier step has left running on purpose is spared.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "step"
        self.group = os.getpgrp()

    def set(self) -> None:
        """A step of the shell that leads ``group`` begins."""
        with needs(self._file):
            self._file.write_text(f"{os.getpid()} {self.group} {ticks()}\n")

    def clear(self) -> None:
        """None is under way."""
        self._file.unlink(missing_ok=True)

    def end_leftovers(self) -> int:
        """Kill what the step of a killed agent still runs; returns how many processes that were."""
        try:
            agent, group, since = (int(word) for word in self._file.read_text().split())
        except (OSError, ValueError):
            return 0
        self.clear()
        entries = list(_processes())
        if any(entry.pid == agent and entry.started <= since for entry in entries):
            return 0  # the agent is alive
        if any(entry.pid == group and entry.started > since for entry in entries):
            return 0  # the group has ended, and its number is somebody else's
        members = [entry for entry in entries if entry.group == group and entry.started >= since]
        for entry in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry.pid, signal.SIGKILL)
        return len(members)


def reap_orphans(spare: int) -> None:
    """Collect ended processes that were left to us."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid == spare:
            return
        os.waitpid(found.si_pid, 0)


def check_syntax(argv: Sequence[str], path: str) -> bool:
    """Does the shell itself accept the program (``sh -n``)?"""
    try:
        checked = subprocess.run(
            [*argv, "-n", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return checked.returncode == 0


def ask(argv: Sequence[str], *, time_limit: float) -> str | None:
    """What a program that only looks prints; None where there is no such program, it fails, or takes longer (s)."""
    try:
        answer = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            timeout=time_limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(answer.stdout) if answer.returncode == 0 else None


def convert(argv: Sequence[str], data: bytes, *, time_limit: float) -> tuple[bytes | None, str]:
    """Give a program its input: what it printed (None where it cannot be started, fails, or takes longer, in seconds)
    and what it said on its standard error.
    """
    try:
        done = subprocess.run(
            argv,
            input=data,
            capture_output=True,
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            timeout=time_limit,
            check=False,
        )
    except OSError as error:
        return None, error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return None, f"did not end within {time_limit:g} s"
    return done.stdout if done.returncode == 0 else None, done.stderr.decode(errors="replace")


def question(
    argv: Sequence[str], *, environment: Mapping[str, str], time_limit: float, cwd: str = "/"
) -> tuple[int | None, str]:
    """Ask a program of somebody else's: its exit status, and what it printed on either output.

    The status is None where it cannot be started (the text says why) or takes longer (seconds); then it is ended with
    all that it started.
    """
    said = os.memfd_create("answer", os.MFD_CLOEXEC)  # no pipe: what it leaves running may hold that for ever
    try:
        asked = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            status: int | None = status_of(asked.wait(time_limit))
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(asked.pid, signal.SIGKILL)
            asked.wait()
        return status, os.pread(said, _ANSWER_LIMIT, 0).decode(errors="replace")
    except OSError as error:
        return None, error.strerror or str(error)
    finally:
        os.close(said)


def leave_drain(output: int, tag: str) -> None:
    """Leave a reader at a pipe that background processes still hold: without one they would die of SIGPIPE."""
    for argv in (["logger", "-t", tag], ["cat"]):
        try:
            subprocess.Popen(
                argv,
                stdin=output,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ).returncode = 0  # it outlives the agent on purpose: no warning about a child left alone
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES):
                raise
        else:
            return
