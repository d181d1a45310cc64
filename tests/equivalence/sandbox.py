"""Small private roots to run a program in, made in a few milliseconds by a warm server.

One server process lives as long as the tests. For each run it forks a child that enters mount, PID and IPC namespaces
of its own, makes a root on a fresh tmpfs (the system's ``/usr`` read-only in it, everything else new and small), and
runs the program there: by the plain shell, or by the product's own :func:`nodeagent.reconcile.apply_directory`. When
the child ends, the kernel ends whatever the program left running, and the root is gone.

This module is the client, and with ``python -m tests.equivalence.sandbox`` the server.
"""

import contextlib
import ctypes
import os
import pickle
import shutil
import struct
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, NoReturn

from tests.equivalence.root import PROJECT, REPOSITORY, File, make, mount, tree
from tests.equivalence.ways import Left, apply, end_the_rest, plain

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWIPC = 0x00020000, 0x20000000, 0x08000000
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)

Way = Literal["plain", "apply", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One root, and how often the program is to run in it. Relative paths are the repository's.

    ``force``: each apply is a full evaluation, as it is for a new tree.
    """

    way: Way
    files: Mapping[bytes, File]
    args: Sequence[str] = ()
    times: int = 1
    force: bool = False


class Sandboxes:
    """The client's end of the server."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=PROJECT,
            env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, orders: Sequence[Order]) -> list[list[Left]]:
        """Run all orders at once, each in a root of its own; one :class:`Left` for each time."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        send(self._server.stdin, list(orders))
        found = receive(self._server.stdout)
        if not isinstance(found, list):
            raise RuntimeError(f"the sandbox could not be made or read:\n{found}")
        return found

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


def send(file: IO[bytes], value: object) -> None:
    data = pickle.dumps(value)
    file.write(struct.pack("!Q", len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> object:
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(file.read(struct.unpack("!Q", head)[0]))


# --- the server ---------------------------------------------------------------------------------------------------


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer lists of orders until the client closes its end."""
    _unshare(_CLONE_NEWNS)
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    layer = tempfile.mkdtemp(prefix="equivalence-")
    try:
        _warm_up(Path(layer))
        while True:
            try:
                orders = receive(requests)
            except EOFError:
                return
            assert isinstance(orders, list)
            send(answers, _all(orders, layer))
    finally:
        shutil.rmtree(layer)


def _warm_up(directory: Path) -> None:
    """Load what an apply loads: nothing of it can be found in the small roots."""
    repository = directory / "repository"
    (repository / "files").mkdir(parents=True)
    (repository / "files/a").write_text("a\n")
    out = directory / "out"
    text = f"#!/bin/sh\nrsync -a files/a {out}/\necho a >>{out}/b\necho b >{out}/c\nls >/dev/null\nls /none\n"
    (repository / "post.sh").write_text(text)
    apply(repository, (), state=directory / "state", runtime=directory / "run")
    for name in os.listdir(directory):
        shutil.rmtree(directory / name)


def _all(orders: list[Order], layer: str) -> object:
    """Each order in a child of its own, all at the same time."""
    pending: list[tuple[int, int]] = []
    for order in orders:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(order, layer, write)
        os.close(write)
        pending.append((child, read))
    found: list[object] = []
    for child, read in pending:
        with os.fdopen(read, "rb") as file:
            data = file.read()
        os.waitpid(child, 0)
        answer = pickle.loads(data) if data else "the child ended without a word"
        found.append(answer)
    failed = [answer for answer in found if isinstance(answer, str)]
    return "\n".join(failed) if failed else found


def _child(order: Order, layer: str, write: int) -> None:
    """Become the first process of a new root, run the order in it, answer, and end; never returns."""
    answer: object = "not run"
    try:
        _unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC)
        first = os.fork()
        if first:
            os.close(write)
            os.waitpid(first, 0)
            os._exit(0)
        make(layer, order.files)
        answer = [_run(order) for _ in range(order.times)]
    except BaseException:  # noqa: BLE001 - a process's very top
        answer = traceback.format_exc()
    with os.fdopen(write, "wb") as file:
        pickle.dump(answer, file)
    os._exit(0)


def _run(order: Order) -> Left:
    """Run the order once in a session of its own, and be to it what a machine's first process is: reap what it left."""
    answer = os.memfd_create("left")
    runner = os.fork()
    if runner == 0:
        _be_runner(order, answer)
    while os.waitpid(-1, 0)[0] != runner:
        pass
    end_the_rest()
    with os.fdopen(answer, "rb") as file:
        file.seek(0)
        data = file.read()
    left = pickle.loads(data) if data else "the runner was killed"
    if not isinstance(left, Left):
        raise RuntimeError(left)
    return replace(left, tree=tree())


def _be_runner(order: Order, answer: int) -> NoReturn:
    try:
        os.setsid()
        if order.way == "plain":
            left: object = plain(order.args)
        else:
            left = apply(Path(REPOSITORY), order.args, run_steps=order.way == "apply", force=order.force)
    except BaseException:  # noqa: BLE001 - a process's very top
        left = traceback.format_exc()
    with os.fdopen(answer, "wb") as file:
        pickle.dump(left, file)
    os._exit(0)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


@contextlib.contextmanager
def opened() -> Iterator[Callable[[Sequence[Order]], list[list[Left]]]]:
    sandboxes = Sandboxes()
    try:
        yield sandboxes.run
    finally:
        sandboxes.close()


if __name__ == "__main__":
    from tests.equivalence import sandbox  # the client's classes, not those of __main__

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sandbox.serve(sys.stdin.buffer, answers)
