"""What code would try that has taken a confined worker over: each attack raises when it is refused."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import select
import signal
import socket
import struct
import subprocess  # noqa: TID251 - it is what is tried
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from nodeagent.source import seccomp

REFUSALS = (OSError, MemoryError, RuntimeError, ValueError)  # a thread is refused with the third, a limit with the last
TREASURE = "treasure"
_NUMBERS = dict(seccomp.REFUSED)
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_ATTACH, _NEW_USER, _SETSIG, _PROCESS_KEYRING = 16, 0x10000000, 10, -2


@dataclass(frozen=True, kw_only=True)
class Node:
    """What there is to be attacked: files that anybody may read or write, a process of the same user, sockets."""

    place: Path  # of mode 0777
    store: Path
    key: Path
    victim: int  # a process of the same user that lets itself be traced
    other_port: int
    heard: int  # what it writes to when it is signalled
    open_socket: socket.socket  # an AF_UNIX one, as a descriptor that was forgotten

    @property
    def abstract(self) -> str:
        return f"\0{self.place}"

    @property
    def descriptors(self) -> list[int]:
        """What an attacker has to be given."""
        return [self.heard, self.open_socket.fileno()]


@contextlib.contextmanager
def standing(place: Path, store: Path, key: Path, uid: int) -> Iterator[Node]:
    """Put up what is attacked; the place is one that everybody may enter."""
    place.mkdir()
    place.chmod(0o777)
    (place / "file").write_text(TREASURE)
    (place / "file").chmod(0o666)
    key.chmod(0o644)  # or the user would be what protects it
    sockets = {name: socket.socket(socket.AF_UNIX, kind) for name, kind in _LOCAL.items()}
    heard, tell = os.pipe()
    with contextlib.ExitStack() as stack:
        for name, listener in sockets.items():
            stack.callback(listener.close)
            listener.bind(f"\0{place}" if name == "abstract" else str(place / name))
            if name != "abstract":
                (place / name).chmod(0o666)
        sockets["stream"].listen()
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        forgotten = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        victim = os.fork()
        if victim == 0:
            _be_victim(uid, tell)
        stack.callback(os.waitpid, victim, 0)
        stack.callback(os.kill, victim, signal.SIGKILL)
        os.close(tell)
        stack.callback(os.close, heard)
        assert os.read(heard, 1) == b"!"
        yield Node(
            place=place,
            store=store,
            key=key,
            victim=victim,
            heard=heard,
            other_port=tcp.getsockname()[1],
            open_socket=forgotten,
        )


_LOCAL = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "abstract": socket.SOCK_DGRAM}


def _be_victim(uid: int, tell: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        ctypes.CDLL(None).prctl(4, ctypes.c_ulong(1), 0, 0, 0)  # PR_SET_DUMPABLE
        signal.signal(signal.SIGUSR1, lambda *_: os.write(tell, b"?"))
        os.write(tell, b"!")
        while True:
            signal.pause()
    finally:
        os._exit(0)


def _system_call(name: str, *arguments: object) -> None:
    call = _NUMBERS[name][seccomp.MACHINES.index(os.uname().machine)]
    if _syscall(ctypes.c_long(call or -1), *arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: Path | str) -> None:
    with open(path, "a") as file:
        file.write("taken over\n")
    if not isinstance(path, Path):
        os.unlink(path)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _trace(node: Node) -> None:
    if ctypes.CDLL(None, use_errno=True).ptrace(_ATTACH, node.victim, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _look_into(node: Node) -> None:
    class Range(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    buffer = ctypes.create_string_buffer(8)  # the victim is a fork: the same address is there
    ours = Range(ctypes.addressof(buffer), 8)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(node.victim, ctypes.byref(ours), 1, ctypes.byref(ours), 1, 0) != 8:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def _signal_by_descriptor(node: Node) -> None:
    """A pipe tells its owner by a signal that there is something to read: no call of kill()."""
    read, write = os.pipe()
    fcntl.fcntl(read, _SETSIG, signal.SIGUSR1)
    fcntl.fcntl(read, fcntl.F_SETOWN, node.victim)
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(write, b"!")
    if not select.select([node.heard], [], [], 0.5)[0]:
        raise PermissionError("the signal did not arrive")
    os.read(node.heard, 1)


def _talk(kind: socket.SocketKind, address: str) -> None:
    with socket.socket(socket.AF_UNIX, kind) as ours:
        ours.connect(address)
        ours.send(b"READY=1")


def _pair(node: Node) -> None:
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"READY=1", str(node.place / "datagram"))


def _open(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def _call_with_data(node: Node) -> None:
    """TCP's fast open: no call of connect()."""
    with socket.socket() as ours:
        ours.sendto(b"hello", socket.MSG_FASTOPEN, ("127.0.0.1", node.other_port))


def _speak_as_the_daemon(_: Node) -> None:
    """Its output is the journal, where a line may begin with a severity, or root's terminal, which can be read, too."""
    if all(os.path.samestat(os.fstat(number), os.stat(os.devnull)) for number in (1, 2)):
        raise PermissionError("nobody listens")


def _wait_for_callers(_: Node) -> None:
    with socket.socket() as ours:
        ours.listen()


def _be_root(_: Node) -> None:
    os.setresuid(0, 0, 0)


def _unlimited(which: int) -> None:
    resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _without_end(_: Node) -> None:
    held = [mmap.mmap(-1, 2**28, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(64)]  # 16 GiB, untouched
    assert held


ATTACKS: dict[str, Callable[[Node], object]] = {
    "read /etc/shadow": lambda _: Path("/etc/shadow").read_bytes(),
    "read a file for all": lambda n: (n.place / "file").read_bytes(),
    "read the key file": lambda n: n.key.read_bytes(),
    "list /": lambda _: os.listdir("/"),
    "list /etc": lambda _: os.listdir("/etc"),
    "read what the node runs": lambda _: Path("/proc/1/cmdline").read_bytes(),
    "read the daemon's environment": lambda _: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "read a process's environment": lambda n: Path(f"/proc/{n.victim}/environ").read_bytes(),
    "write to /etc": lambda _: _write("/etc/nodeagent-attacked"),
    "write to /var/tmp": lambda _: _write("/var/tmp/nodeagent-attacked"),
    "write to /run": lambda _: _write("/run/nodeagent-attacked"),
    "write to /tmp": lambda _: _write("/tmp/nodeagent-attacked"),
    "write to /dev/shm": lambda _: _write("/dev/shm/nodeagent-attacked"),
    "write to a file for all": lambda n: _write(n.place / "file"),
    "cut a file for all": lambda n: os.truncate(n.place / "file", 0),
    "take a file into the store": lambda n: (n.place / "file").rename(n.store / "taken"),
    "make a link in the store": lambda n: (n.store / "link").symlink_to("/etc/shadow"),
    "make a fifo in the store": lambda n: os.mkfifo(n.store / "fifo"),
    "become a shell": lambda _: os.execv("/bin/sh", ["sh", "-c", "exit 99"]),
    "run a program": lambda _: subprocess.run(["/bin/true"], check=True),
    "fork": lambda _: _fork(),
    "start a thread": lambda _: threading.Thread(target=print).start(),
    "signal the daemon": lambda _: os.kill(os.getppid(), 0),
    "signal a process": lambda n: os.kill(n.victim, signal.SIGUSR1),
    "signal a process through a pipe": _signal_by_descriptor,
    "signal a process by its descriptor": lambda n: signal.pidfd_send_signal(os.pidfd_open(n.victim), signal.SIGUSR1),
    "trace a process": _trace,
    "look into a process": _look_into,
    "limit a process": lambda n: resource.prlimit(n.victim, resource.RLIMIT_CORE, (0, 0)),
    "talk to a service": lambda n: _talk(socket.SOCK_STREAM, str(n.place / "stream")),
    "talk to a service by datagrams": lambda n: _talk(socket.SOCK_DGRAM, str(n.place / "datagram")),
    "talk to journald": lambda _: _talk(socket.SOCK_DGRAM, "/run/systemd/journal/socket"),
    "talk to systemd": lambda _: _talk(socket.SOCK_DGRAM, "/run/systemd/notify"),
    "talk to D-Bus": lambda _: _talk(socket.SOCK_STREAM, "/run/dbus/system_bus_socket"),
    "talk by a pair of sockets": _pair,
    "talk by a forgotten socket": lambda n: n.open_socket.sendto(b"READY=1", n.abstract),
    "open a raw socket": lambda _: _open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "open a packet socket": lambda _: _open(socket.AF_PACKET, socket.SOCK_RAW),
    "open a socket of the kernel's crypto": lambda _: _open(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "open an audit socket": lambda _: _open(socket.AF_NETLINK, socket.SOCK_RAW, 9),
    "load a protocol": lambda _: _open(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "take a port": lambda _: socket.socket().bind(("127.0.0.1", 0)),
    "wait for callers": _wait_for_callers,
    "call another port": lambda n: socket.create_connection(("127.0.0.1", n.other_port), 5).close(),
    "call another port with data": _call_with_data,
    "speak as the daemon": _speak_as_the_daemon,
    "make a namespace": lambda _: _system_call("unshare", _NEW_USER),
    "load a program into the kernel": lambda _: _system_call("bpf", 0, None, 0),
    "make a ring": lambda _: _system_call("io_uring_setup", 1, bytes(120)),
    "handle page faults": lambda _: _system_call("userfaultfd", 1),
    "watch performance": lambda _: _system_call("perf_event_open", struct.pack("=II104x", 1, 112), 0, -1, -1, 0),
    "keep a key": lambda _: _system_call("add_key", b"user", b"nodeagent", b"x", 1, _PROCESS_KEYRING),
    "be root": _be_root,
    "use more memory": _without_end,
    "use shared memory": lambda _: mmap.mmap(-1, 4096),
    "use memory as a file": lambda _: os.memfd_create("file"),
    "lift the limit of processes": lambda _: _unlimited(resource.RLIMIT_NPROC),
    "lift the limit of memory": lambda _: _unlimited(resource.RLIMIT_DATA),
    "dump core": lambda _: _unlimited(resource.RLIMIT_CORE),
}


def succeeded(node: Node, *, but: Collection[str] = ()) -> list[str]:
    """Try them all, or all but some; the names of those that got through."""
    found = []
    for name in [name for name in ATTACKS if name not in but]:
        try:
            ATTACKS[name](node)
        except REFUSALS:
            continue
        found.append(name)
    return found
