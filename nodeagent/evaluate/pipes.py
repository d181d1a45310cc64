"""The way from the shell to the agent and back: two named pipes, and the verbs that write and read them."""

import contextlib
import fcntl
import os
import select
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nodeagent.node import needs

_PREFIX = "evaluation-"
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


@dataclass(slots=True)
class Pipes:
    """The two named pipes of an evaluation, in a directory that only root can enter.

    Both ends of each are held open here, so that the shell never blocks in opening one and nothing is lost between
    two calls.
    """

    directory: Path
    request: int
    answer: int
    turns: int | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, runtime: Path) -> Iterator["Pipes"]:
        runtime.mkdir(parents=True, exist_ok=True)
        _remove_left(runtime)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=runtime))
        try:
            request, answer = (_made(directory / name) for name in ("request", "answer"))
            pipes = cls(directory, request, answer)
            fcntl.lockf(request, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield pipes
            finally:
                # Removed first: a process that is left finds nothing, or reads to the end, and waits for neither.
                shutil.rmtree(directory, ignore_errors=True)
                for descriptor in (request, answer, pipes.turns):
                    if descriptor is not None:
                        os.close(descriptor)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def prelude(self, *, turns: bool = False) -> Path:
        """Write the verbs; returns the file to be sourced. ``turns``: several processes may use them at a time."""
        if turns:
            self.turns = _made(self.directory / "turns")
            self.give_turn()
        verbs = resources.files("nodeagent.evaluate").joinpath("prelude.sh").read_text()
        path = self.directory / "prelude.sh"
        names = {"q": "request", "p": "answer", "v": "prelude.sh"} | ({"l": "turns"} if turns else {})
        given = " ".join(f"__na_{letter}='{self.directory}/{name}'" for letter, name in names.items())
        with needs(path):
            path.write_text(f"__na_l='' {given}\n{verbs}")
        return path

    def give_turn(self) -> None:
        """It is anybody's turn."""
        assert self.turns is not None
        os.write(self.turns, b"\n")

    def is_given(self) -> bool:
        """Has nobody taken the turn?"""
        return self.turns is None or bool(select.select([self.turns], [], [], 0)[0])


def _made(pipe: Path) -> int:
    """Both ends of a new named pipe."""
    with needs(pipe.parent):
        os.mkfifo(pipe, 0o600)
    return os.open(pipe, _OPEN)


def _remove_left(runtime: Path) -> None:
    """Remove what killed agents have left; another agent's (``apply --repo``) may be in use."""
    for directory in runtime.glob(f"{_PREFIX}*"):
        if not _in_use(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _in_use(directory: Path) -> bool:
    """Whether its agent lives: it holds a POSIX lock, which ends with it, whatever it has started."""
    try:
        descriptor = os.open(directory / "request", _OPEN)
    except FileNotFoundError:
        return False  # it was killed before it came so far
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows both
        return True
    finally:
        os.close(descriptor)
    return False


def at_end(pipe: int) -> bool:
    """Has everybody closed the writing end? What is still in the pipe is lost."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 65536):
            pass
        return True
    return False
