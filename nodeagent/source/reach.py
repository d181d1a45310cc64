"""What each confined process of the source needs of the node, and so may reach."""

import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from nodeagent.config import Config
from nodeagent.model.address import Local, parse
from nodeagent.source import beacon, landlock, seccomp
from nodeagent.source.confine import Reach

_OTHERS = 64  # processes that the user may have besides
_HTTP = 80
_DNS = 53  # over TCP, for answers that are too long for a datagram

# Whatever Python, or the C library when it looks for a host, opens at any moment: modules of both, and settings.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HOSTS = (
    "/etc/hosts",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
)
_AUTHORITIES = ("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/share/pki")
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")


def warm() -> None:
    """Work out what is the same for every process, once, in the one that forks them."""
    _libraries()
    landlock.version()
    if seccomp.is_known():
        seccomp.program(os.uname().machine, True, False, False)
        seccomp.program(os.uname().machine, False, False, False)


def fetching(config: Config, *, store: Path, home: Path) -> Reach:
    """Of who asks the servers, and fetches. ``home`` holds the pinned host keys."""
    servers = [parse(url) for url in config.source.urls]
    ports = {server.port for server in servers if not isinstance(server, Local)}
    read = [str(home), *_libraries(), *_HOSTS]
    if port := beacon.port(config.source.beacon):
        ports.add(port)
    elif config.source.beacon:
        read.append(beacon.path(config.source.beacon))
    if config.source.beacon.startswith("https:"):
        read += [str(config.source.ca_file)] if config.source.ca_file else _AUTHORITIES
    if config.source.proxy:
        ports.add(urlsplit(config.source.proxy).port or _HTTP)
    remote = Reach(
        write=[str(store.parent)],
        read=read,
        ports=[*ports, _DNS],
        local_sockets=not _asks_dns(),
    )
    if not any(isinstance(server, Local) for server in servers):
        return remote
    # A repository of the node's own may be one in pieces (objects of another one, a work tree's .git), and libgit2
    # packs what it takes from it, with a thread for each processor.
    threads = _OTHERS + (os.cpu_count() or 1)
    return replace(remote, read=["/"], threads=threads)


def exporting(*, store: Path) -> Reach:
    """Of who hands a revision over from the store."""
    return Reach(write=[str(store.parent)], read=_libraries())


@functools.cache
def _libraries() -> Sequence[str]:
    """Each that is there, once: rules cost 15 µs of CPU apiece, and /lib is most often a link."""
    wanted = {os.path.realpath(path) for path in (*_LIBRARIES, _PACKAGE, *_modules())}
    above = {path for path in wanted if not any(path.startswith(f"{other}/") for other in wanted)}
    return *(path for path in above if os.path.exists(path)), *_DEVICES


def _modules() -> Sequence[str]:
    """Where Python looks for them, without the directory that ``python -m`` happened to be called in."""
    found = {os.path.realpath(path) for path in sys.path if path.startswith("/")}
    called_in = os.readlink("/proc/self/cwd")  # also of one that was removed
    return [path for path in found if path != "/" and (path != called_in or path.startswith(f"{sys.prefix}/"))]


def _asks_dns(switch: str = "/etc/nsswitch.conf") -> bool:
    """Whether hosts are found without a service of the node's own, such as sssd or systemd-resolved by its socket.

    Where both are named, the C library goes on to DNS when the socket cannot be had.
    """
    try:
        with open(switch, "rb", buffering=0) as file:
            lines = [line.partition(b"#")[0].split() for line in file.read().splitlines()]
    except OSError:
        return True  # the C library's own default
    return all(b"dns" in words for words in lines if words[:1] == [b"hosts:"])
