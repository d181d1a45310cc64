"""The way from the shell to the agent and back: two named pipes, and the verbs that write and read them."""

import contextlib
import fcntl
import os
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

    @classmethod
    @contextlib.contextmanager
    def open(cls, runtime: Path) -> Iterator["Pipes"]:
        runtime.mkdir(parents=True, exist_ok=True)
        _remove_left(runtime)
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=runtime))
        try:
            descriptors: list[int] = []
            for name in ("request", "answer"):
                with needs(directory):
                    os.mkfifo(directory / name, 0o600)
                descriptors.append(os.open(directory / name, _OPEN))
            fcntl.lockf(descriptors[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield cls(directory, *descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def prelude(self) -> Path:
        """Write the verbs; returns the file to be sourced."""
        verbs = resources.files("nodeagent.evaluate").joinpath("prelude.sh").read_text()
        path = self.directory / "prelude.sh"
        with needs(path):
            path.write_text(f"__na_q='{self.directory}/request' __na_p='{self.directory}/answer'\n{verbs}")
        return path


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
