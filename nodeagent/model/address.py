"""Where a repository is: what ``source.url`` and ``source.mirrors`` may say. No I/O."""

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import PurePosixPath

SSH_PORT = 22
HTTP_PORT = 80
HTTPS_PORT = 443
DEFAULT_USER = "git"  # what every git server's documents use; the node's own user means nothing to the server

_HOST = r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s@/:\[\]?#]+)(?::(?P<port>\d{1,5}))?"
_SSH = re.compile(rf"ssh://(?:(?P<user>[^@/:]+)@)?{_HOST}/.+")
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>[^@/:\[\]]+):(?P<path>.+)")
_HTTP = re.compile(rf"https?://{_HOST}/[^\s?#]+")
_SECRET = re.compile(r"(?:[a-z+]+://)?[^/@]*:[^/@]*@.*|https?://[^/]*@.*")  # a token may stand in the user's place
_FORMS = "ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH, https://HOST[:PORT]/PATH, file:///PATH or /PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """Where to connect to; ``str()`` is what messages say."""

    user: str
    host: str  # without the brackets of an IPv6 address
    port: int

    def __str__(self) -> str:
        return self.host if self.port == SSH_PORT else f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Https:
    """A server that is asked by HTTPS; ``secure`` is false for one on loopback that is asked by HTTP."""

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        return self.host if self.port == HTTPS_PORT else f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A repository, or a file made by ``git bundle``, that the node itself can read."""

    path: PurePosixPath

    def __str__(self) -> str:
        return str(self.path)


Address = Ssh | Https | Local


def parse(url: str) -> Address:
    """Take an address apart.

    Raises:
        ValueError: it is none, has a password in it, or would lead over a network that anybody can listen to.
    """
    scheme = url.split("://", 1)[0] if "://" in url else ""
    if scheme != "file" and not url.startswith("/") and _SECRET.fullmatch(url):
        raise ValueError(
            "no password or token may stand in the address, where everybody reads it: an SSH server gets the deploy "
            "key, an HTTPS server what the credential nodeagent.login holds, with the user login.user"
        )
    match scheme:
        case "ssh":
            return _ssh(_SSH.fullmatch(url))
        case "http" | "https":
            return _https(scheme, _HTTP.fullmatch(url))
        case "file":
            path = url.removeprefix("file://")
            return _local(urllib.parse.unquote(path, errors="surrogateescape"))
        case "" if url.startswith("/"):
            return _local(url)
        case "":
            return _ssh(_SCP.fullmatch(url))
        case "git":
            raise ValueError(f"git:// has no way to tell the server from an impostor: use one of {_FORMS}")
        case _:
            raise ValueError(f"one of {_FORMS} is needed")


def _ssh(found: re.Match[str] | None) -> Ssh:
    if found is None:
        raise ValueError(f"one of {_FORMS} is needed")
    return Ssh(user=found["user"] or DEFAULT_USER, host=found["host"].strip("[]"), port=_port(found, SSH_PORT))


def _https(scheme: str, found: re.Match[str] | None) -> Https:
    if found is None:
        raise ValueError("https://HOST[:PORT]/PATH is needed")
    host, secure = found["host"].strip("[]"), scheme == "https"
    if not secure and not _is_loopback(host):
        raise ValueError(
            "by http:// anybody on the way reads the configuration and can put another in its place: use https:// "
            "(http:// is for a server on this node's loopback)"
        )
    return Https(host=host, port=_port(found, HTTPS_PORT if secure else HTTP_PORT), secure=secure)


def _local(path: str) -> Local:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("file:///PATH or /PATH is needed, with the whole path")
    return Local(path=PurePosixPath(path))


def _port(found: re.Match[str], default: int) -> int:
    port = int(found.groupdict().get("port") or default)
    if not 0 < port < 2**16:
        raise ValueError(f"{port} is no port")
    return port


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
