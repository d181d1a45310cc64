"""A password that a program prints, such as ``vault kv get -field=password secret/nodeagent``.

The administrator has named it. It runs as root, before this process gives up root. What it prints on stdout is the
secret, and is shown nowhere; the last line of its stderr stands in the error.
"""

import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Sequence
from typing import NoReturn

from nodeagent.errors import PasswordCommandFailed, PasswordUnavailable
from nodeagent.source.foreign import one_line
from nodeagent.source.secrets.memory import Secret
from nodeagent.workers import child

MOST_OUTPUT = 65_536  # bytes
_TAIL = 4_096  # bytes of stderr that are kept
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
_NOT_STARTED = {126, 127}  # a shell's exit codes for a program that may not be run, or is not there


def ask(argv: Sequence[str], *, time_limit: float) -> Secret:
    """Run the program; all that it printed.

    Args:
        argv: the program, by path or by name, and its arguments.
        time_limit: seconds; then it is killed.

    Raises:
        PasswordUnavailable: there is no such program, it may not be run, or it printed more than a password.
        PasswordCommandFailed: it failed or took too long; it may succeed later.
        WorkerFailed: the system has no process or descriptor left to give.
    """
    program = find(argv[0])
    printed, out = child.pipe()
    said, err = child.pipe()
    try:
        try:
            process = child.fork(lambda: _become(program, argv, out, err), keep=(out, err), session=True)
        finally:
            os.close(out)
            os.close(err)
        return _Listener(argv[0], printed, said).attend(process, time_limit)
    finally:
        os.close(printed)
        os.close(said)


def find(name: str) -> str:
    """The path of a program.

    Raises:
        PasswordUnavailable: there is none of that name that may be run.
    """
    program = shutil.which(name, path=_PATH)
    if program is None:
        raise PasswordUnavailable(
            f"password.command: {name}: there is no such program in {_PATH}: install it, or name it by its path"
        )
    return program


def _become(program: str, argv: Sequence[str], out: int, err: int) -> None:
    """Be the program, in the child: with root's bare environment, and without a core."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.dup2(out, 1)
    os.dup2(err, 2)
    child.allow_no_core()
    os.umask(0o077)
    os.chdir("/")
    try:
        os.execve(program, list(argv), _ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{program}: {error.strerror}".encode())
        os._exit(min(_NOT_STARTED))


class _Listener:
    """The parent's side: takes what comes up the two pipes until the program has ended."""

    def __init__(self, name: str, printed: int, said: int) -> None:
        self._name = name
        self._printed, self._said = printed, said
        self._output = Secret(bytearray(MOST_OUTPUT), 0)
        self._errors = b""

    def attend(self, process: child.Child, time_limit: float) -> Secret:
        """What it printed, once it has ended well; else it is killed, and what it printed is overwritten."""
        try:
            in_time = self._listen(process.pidfd, time.monotonic() + time_limit)
            process.kill()  # also what it has left running
            ending = process.ending()
        except BaseException:
            process.kill()
            self._output.wipe()
            raise
        finally:
            process.reap()
        if not in_time:
            self._fail(f"did not end within {time_limit:g} s (password.timeout)")
        if ending:
            self._fail(ending, final=ending in {f"exited with code {code}" for code in _NOT_STARTED})
        return self._output

    def _listen(self, pidfd: int, deadline: float) -> bool:
        """Whether the program ended before the deadline."""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        takers = {self._printed: self._take_output, self._said: self._take_errors}
        for descriptor in takers:
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = [descriptor for descriptor, _ in poll.poll(left * 1000)]
            for descriptor, take in list(takers.items()):
                with contextlib.suppress(BlockingIOError):
                    take()
                    del takers[descriptor]
                    poll.unregister(descriptor)
            if pidfd in ready:
                return True
        return False

    def _take_output(self) -> None:
        """Take what is there, to the end.

        Raises:
            BlockingIOError: more may come.
        """
        while self._output.take(self._printed):
            if len(self._output) == MOST_OUTPUT:
                raise PasswordUnavailable(
                    f"password.command: {self._name}: printed {MOST_OUTPUT} bytes or more: it must print the password"
                )

    def _take_errors(self) -> None:
        """As :meth:`_take_output`."""
        while more := os.read(self._said, _TAIL):
            self._errors = (self._errors + more)[-_TAIL:]

    def _fail(self, ending: str, *, final: bool = False) -> NoReturn:
        self._output.wipe()
        last = one_line(self._errors.strip().rpartition(b"\n")[2].strip())
        told = f"password.command: {self._name}: {ending}{': ' if last else ''}{last}"
        if final:
            raise PasswordUnavailable(told)
        raise PasswordCommandFailed(f"{told}: is tried again by itself")
