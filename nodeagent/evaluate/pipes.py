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

_PREFIX = "evaluation-"


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
        lock = _lock(directory)
        try:
            descriptors: list[int] = []
            for name in ("request", "answer"):
                os.mkfifo(directory / name, 0o600)
                descriptors.append(os.open(directory / name, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
            try:
                yield cls(directory, *descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            if lock is not None:
                os.close(lock)

    def prelude(self) -> Path:
        """Write the verbs; returns the file to be sourced."""
        verbs = resources.files("nodeagent.evaluate").joinpath("prelude.sh").read_text()
        path = self.directory / "prelude.sh"
        path.write_text(f"__na_q='{self.directory}/request' __na_p='{self.directory}/answer'\n{verbs}")
        return path


def _lock(directory: Path) -> int | None:
    """Lock a directory until its holder ends, however it ends; None when another one holds it or it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_left(runtime: Path) -> None:
    """Remove what killed agents have left; another agent's (``apply --repo``) may be in use."""
    for directory in runtime.glob(f"{_PREFIX}*"):
        lock = _lock(directory)
        if lock is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def at_end(pipe: int) -> bool:
    """Has everybody closed the writing end? What is still in the pipe is lost."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 65536):
            pass
        return True
    return False
