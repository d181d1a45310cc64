"""Small private roots to run a program in, made in a few milliseconds by a warm server.

One server process lives as long as the tests. For each run it forks a child that enters mount, PID and IPC namespaces
of its own, makes a root on a fresh tmpfs (the system's ``/usr`` read-only in it, everything else new and small), and
runs the program there: by the plain shell, or by the product's own :func:`nodeagent.reconcile.apply_directory`. When
the child ends, the kernel ends whatever the program left running, and the root is gone.

This module is the client, and with ``python -m tests.equivalence.sandbox`` the server.
"""

import contextlib
import ctypes
import io
import os
import pickle
import select
import shutil
import signal
import stat
import struct
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

PROJECT = Path(__file__).resolve().parents[2]
REPOSITORY = "/configs"
SCRIPT = f"{REPOSITORY}/post.sh"
LOGGED, STUBBED = "/run/logged", "/run/stubbed"

# What would act beyond the files, or would say something else each time, only notes how it was called.
STUBS = ("systemctl", "sysctl", "useradd", "mount", "update-ca-trust", "restorecon", "reboot")
_STUB = f'#!/bin/sh\necho "${{0##*/}} $*" >>{STUBBED}\n'
# Without fork, so that it may be called in any place that a built-in may be.
_LOGGER = f"""#!/bin/sh
tag=root
while :; do case $1 in -t) tag=$2; shift 2 ;; -p) shift 2 ;; *) break ;; esac; done
if [ $# = 0 ]; then while IFS= read -r line; do echo "$tag: $line"; done; else echo "$tag: $*"; fi >>{LOGGED}
"""
_ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nslurm:x:900:900::/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\nslurm:x:900:\n",
    "hosts": "127.0.0.1 localhost\n",
    "fstab": "# none\n",
}
_DIRECTORIES = {
    "dev": 0o755, "etc": 0o755, "opt": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "srv": 0o755, "stubs": 0o755,
    "tmp": 0o1777, "usr": 0o755, "var": 0o755, "var/lib": 0o755, "var/log": 0o755, "agent": 0o700, "configs": 0o755,
}  # fmt: skip
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWIPC = 0x00020000, 0x20000000, 0x08000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_TIME_LIMIT = 25.0
_LONG_AGO = 1e9

Way = Literal["plain", "apply"]
Entry = tuple[int, int, int, bytes]
"""A path's st_mode, owner, group, and content or link target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Something to be put into the root; ``kind`` is a regular file, a directory or a link (content: its target)."""

    content: bytes = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    kind: Literal["file", "directory", "link"] = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One root, and how often the program is to run in it. Relative paths are the repository's."""

    way: Way
    files: Mapping[bytes, File]
    args: Sequence[str] = ()
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What one run left. ``steps`` are (file, line, phase, change, path) as the agent told them."""

    status: int
    output: list[str]
    tree: dict[bytes, Entry]
    steps: list[tuple[str, int, str, str, str | None]] = field(default_factory=list)
    whole: str = ""  # why the agent ran it as one step


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
        _send(self._server.stdin, list(orders))
        found = _receive(self._server.stdout)
        if not isinstance(found, list):
            raise RuntimeError(f"the sandbox could not be made or read:\n{found}")
        return found

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


def _send(file: BinaryIO, value: object) -> None:
    data = pickle.dumps(value)
    file.write(struct.pack("!Q", len(data)) + data)
    file.flush()


def _receive(file: BinaryIO) -> object:
    head = file.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(file.read(struct.unpack("!Q", head)[0]))


# --- the server ---------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer lists of orders until the client closes its end."""
    _unshare(_CLONE_NEWNS)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    layer = tempfile.mkdtemp(prefix="equivalence-")
    try:
        _warm_up(Path(layer))
        while True:
            try:
                orders = _receive(requests)
            except EOFError:
                return
            assert isinstance(orders, list)
            _send(answers, _all(orders, layer))
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
    _apply(repository, (), state=directory / "state", runtime=directory / "run")
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
    import traceback

    answer: object = "not run"
    try:
        _unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWIPC)
        first = os.fork()
        if first:
            os.close(write)
            os.waitpid(first, 0)
            os._exit(0)
        _make_root(layer, order.files)
        answer = [_run(order) for _ in range(order.times)]
    except BaseException:  # noqa: BLE001 - a process's very top
        answer = traceback.format_exc()
    with os.fdopen(write, "wb") as file:
        pickle.dump(answer, file)
    os._exit(0)


# --- the root -----------------------------------------------------------------------------------------------------


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) for word in (source, target, kind)]
    if _libc.mount(*words, flags, os.fsencode(data)) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _bind(path: str, root: str) -> None:
    _mount(path, root + path, "", _MS_BIND | _MS_REC)
    _mount("none", root + path, "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _make_root(root: str, files: Mapping[bytes, File]) -> None:
    _mount("tmpfs", root, "tmpfs", data="mode=0755")
    os.umask(0)
    for name, mode in _DIRECTORIES.items():
        os.mkdir(f"{root}/{name}", mode)
    for name in ("bin", "sbin", "lib", "lib64", "lib32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
            _bind(f"/{name}", root)
    _bind("/usr", root)
    # What the agent reads at run time (the verbs' text) is found where it was loaded from.
    for path in ("/etc/alternatives", str(PROJECT / "nodeagent")):
        if os.path.isdir(path):
            os.makedirs(root + path, 0o755, exist_ok=True)
            _bind(path, root)
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{root}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        os.symlink(f"/proc/self/{target}", f"{root}/dev/{name}")
    _mount("proc", f"{root}/proc", "proc")
    _mount("tmpfs", f"{root}/agent", "tmpfs", data="mode=0700")  # the agent's own; not part of the tree
    os.chroot(root)
    os.chdir("/")
    programs = dict.fromkeys((f"/stubs/{name}" for name in STUBS), _STUB) | {"/stubs/logger": _LOGGER}
    for path, text in programs.items():
        _put(path.encode(), File(content=text.encode(), mode=0o755))
    os.symlink("/usr/bin/busybox", "/stubs/ash")
    for name, text in _ETC.items():
        _put(f"/etc/{name}".encode(), File(content=text.encode()))
    _put(LOGGED.encode(), File())
    for path in sorted(files):
        _put(os.path.join(REPOSITORY.encode(), path), files[path])
    os.umask(0o022)


def _put(path: bytes, file: File) -> None:
    os.umask(0o022)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    match file.kind:
        case "link":
            os.symlink(file.content, path)
        case "directory":
            os.makedirs(path, exist_ok=True)
            os.chmod(path, file.mode)
        case "file":
            Path(os.fsdecode(path)).write_bytes(file.content)
            os.chmod(path, file.mode)
    os.lchown(path, *file.owner)
    # Else rsync takes what the program has written in the same second, with the same size, for the same content.
    os.utime(path, (_LONG_AGO, _LONG_AGO), follow_symlinks=False)


def _tree() -> dict[bytes, Entry]:
    """Everything on the root's own file system."""
    found: dict[bytes, Entry] = {}
    device = os.lstat(b"/").st_dev

    def walk(directory: bytes) -> None:
        for entry in os.scandir(directory):
            status = entry.stat(follow_symlinks=False)
            if status.st_dev != device or entry.path in {b"/dev", b"/agent"}:
                continue
            content = b""
            if stat.S_ISREG(status.st_mode):
                with open(entry.path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(entry.path)
            found[entry.path] = (status.st_mode, status.st_uid, status.st_gid, content)
            if stat.S_ISDIR(status.st_mode):
                walk(entry.path)

    walk(b"/")
    return found


# --- the two ways -------------------------------------------------------------------------------------------------

ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "PATH": f"/stubs:{REPOSITORY}/postscripts:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


def _run(order: Order) -> Left:
    left = _plain(order.args) if order.way == "plain" else _apply(Path(REPOSITORY), order.args)
    _end_the_rest()
    return Left(status=left.status, output=left.output, tree=_tree(), steps=left.steps, whole=left.whole)


def _end_the_rest() -> None:
    """End what the program has left running; this process is the first of its namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _plain(args: Sequence[str]) -> Left:
    with open(SCRIPT, "rb") as file:
        first = file.readline().removesuffix(b"\n").split(b" ")
    known = first[0].startswith(b"#!/") and os.path.exists(first[0][2:])
    argv = [SCRIPT, *args] if known else ["/bin/sh", SCRIPT, *args]
    read, write = os.pipe()
    process = subprocess.Popen(
        argv, cwd=REPOSITORY, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=write, stderr=write, umask=0o022
    )
    os.close(write)
    os.set_blocking(read, False)
    descriptor = os.pidfd_open(process.pid)
    output = io.BytesIO()

    def drain() -> bool:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(read, 65536):
                output.write(data)
            return False
        return True

    waited = [descriptor, read]
    while True:
        ready, _, _ = select.select(waited, [], [], _TIME_LIMIT)
        if not ready:
            raise TimeoutError("the plain shell did not come to an end")
        if read in ready and not drain():
            waited.remove(read)
        if descriptor in ready:
            break
    drain()
    os.close(read)
    os.close(descriptor)
    code = process.wait()
    text = output.getvalue().decode(errors="backslashreplace")
    lines = text.removesuffix("\n").split("\n") if text else []
    return Left(status=128 - code if code < 0 else code, output=lines, tree={})


def _apply(
    repository: Path, args: Sequence[str], *, state: Path = Path("/agent/state"), runtime: Path = Path("/agent/run")
) -> Left:
    from nodeagent import reconcile
    from nodeagent.evaluation import Settings
    from nodeagent.model import Event, Notice, StepLogged, StepOutput

    lines: list[str] = []
    whole: list[str] = []

    class Recorder:
        def report(self, event: Event) -> None:
            match event:
                case StepOutput():
                    lines.append(event.text)
                case StepLogged():
                    with open(LOGGED, "a") as file:
                        file.write(f"{event.tag}: {event.text}\n")
                case Notice():
                    whole.append(event.text)
                case _:
                    pass

    settings = Settings(
        args=list(args),
        environment=ENVIRONMENT,
        step_timeout=_TIME_LIMIT,
        evaluation_timeout=_TIME_LIMIT,
        state=state,
        runtime=runtime,
    )
    done = reconcile.apply_directory(
        repository, settings, reconcile.Wishes(requested=True), threading.Event(), Recorder()
    )
    steps = [(step.file, step.line, str(step.phase), str(step.change), step.path) for step in done.steps]
    return Left(status=done.exit_status, output=lines, tree={}, steps=steps, whole=" ".join(whole))


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
