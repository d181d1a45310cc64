"""Ask gpgv(1) of an OpenPGP signature, in a child that may nothing: no file of its own, no network, no rights.

gpgv, not gpg: it knows the keys of one keyring, and neither a home directory nor a web of trust. What it reads comes in
memory (memfd), so that it needs no access to the files and leaves none behind.
"""

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodeagent.errors import InvalidConfiguration, WorkerFailed
from nodeagent.source.confine import Reach, account, confine
from nodeagent.workers import child

_TIME_LIMIT = 20.0  # seconds
_CPU = 20  # seconds
_MEMORY = 512 * 2**20  # bytes of address space
_LONGEST_ANSWER = 64 * 1024  # bytes
_CLONE_NEWNET = 0x40000000  # linux/sched.h
_PATH = "/usr/bin:/bin"
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_READS = ("/dev/null", "/dev/random", "/dev/urandom", "/etc/ld.so.cache", "/etc/gcrypt", "/proc/sys/crypto")
_libc = ctypes.CDLL(None, use_errno=True)


def program() -> str:
    """Where gpgv is.

    Raises:
        InvalidConfiguration: nowhere.
    """
    found = shutil.which("gpgv", path=_PATH)
    if found is None:
        raise InvalidConfiguration(
            "signatures.openpgp_keyring: gpgv is not installed, which verifies OpenPGP signatures: install the package "
            "gpgv (Debian) or gnupg2 (EL), or sign with SSH keys"
        )
    return found


def statuses(keyring: bytes, signature: bytes, payload: bytes, user: str) -> Sequence[Sequence[str]]:
    """What gpgv says of a detached signature: its status lines (GnuPG's doc/DETAILS) by word, without the prefix.

    Args:
        keyring: the keys that count, in OpenPGP's binary form or as a keybox.
        signature: armored or binary.
        payload: what was signed.
        user: the unprivileged user that it runs as when this process is root.

    Raises:
        FetchUserMissing: there is no such user.
        InvalidConfiguration: there is no gpgv.
        WorkerFailed: it took too long, or was ended.
    """
    path = program()
    if os.geteuid() == 0:
        account(user)
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(_in_memory(data)) for data in (payload, keyring, signature)]
        answer, answer_end = child.pipe()
        opened.callback(os.close, answer)
        try:
            process = child.fork(
                lambda: _become(path, files, answer_end, user), keep=[*files, answer_end], session=True
            )
        finally:
            os.close(answer_end)
        try:
            text = _hear(answer, process)
        finally:
            process.kill()
            process.reap()
    prefix = "[GNUPG:] "
    return [line.removeprefix(prefix).split(" ") for line in text.split("\n") if line.startswith(prefix)]


def _hear(answer: int, process: child.Child) -> str:
    deadline = time.monotonic() + _TIME_LIMIT
    poll = select.poll()
    poll.register(answer, select.POLLIN)
    heard = b""
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000) and len(heard) < _LONGEST_ANSWER:
        chunk = os.read(answer, _LONGEST_ANSWER)
        if not chunk and process.wait(deadline):
            if (ending := process.ending()).startswith("killed"):
                raise WorkerFailed(f"gpgv, which verifies an OpenPGP signature, was {ending}")
            return heard.decode(errors="replace")
        heard += chunk
    raise WorkerFailed(f"gpgv, which verifies an OpenPGP signature, did not end within {_TIME_LIMIT:g} s")


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("nodeagent", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _become(path: str, files: Sequence[int], answer: int, user: str) -> None:
    """The child: give everything up, and become gpgv."""
    null = os.open(os.devnull, os.O_WRONLY)
    if os.geteuid() == 0:
        _libc.unshare(_CLONE_NEWNET)  # it asks nobody; where a container refuses, it has still no rights
        confine(user, Reach(write=(), read=_READS, run=(os.path.realpath(path), *_LIBRARIES)))
    payload, keyring, signature = files
    for descriptor, number in ((payload, 0), (answer, 1), (null, 2)):
        os.dup2(descriptor, number)
    for descriptor in (keyring, signature):
        os.set_inheritable(descriptor, True)
    for limit, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (most, most))
    child.allow_no_core()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    told = ["--homedir", "/nonexistent", "--status-fd", "1", "--keyring", str(_file(keyring)), str(_file(signature))]
    os.execve(path, ["gpgv", *told, "-"], {"PATH": _PATH, "LC_ALL": "C.UTF-8"})


def _file(descriptor: int) -> Path:
    return Path("/proc/self/fd", str(descriptor))
