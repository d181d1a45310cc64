"""The beacon: a small file that says what the followed ref is at, asked in place of the git server at most polls.

It can only delay, never choose: what it says is compared with the commit that the node has, and whatever is not just
that (another commit, garbage, no answer) has the server itself asked, as does every poll once ``beacon_max_age`` is
over. It is therefore no secret, and may be served by plain HTTP.

Its first line is the commit's id, in hex; ``nodeagent beacon`` prints what writes it.
"""

import contextlib
import importlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from nodeagent.config import Config
from nodeagent.source.foreign import one_line

if TYPE_CHECKING:
    import ssl

_COMMIT = re.compile(rb"([0-9a-f]{40})\s")
_MOST = 4096  # bytes of an answer, and of the memory, that are looked at
_REDIRECTS = 3
_LEAST = 0.5  # of beacon_max_age
_FILE = "beacon.json"  # in the fetch user's directory
_contexts: "dict[Path | None, tuple[tuple[int, ...], ssl.SSLContext]]" = {}  # with the state of the file then


class BeaconError(Exception):
    """It gives no answer; the message is one line, without the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is kept from one poll to the next; a file of the fetch user's own, which decides no more than the beacon.

    ``commit``: what the server itself was at, at ``asked``; the beacon may stand in for it ``until`` then (seconds
    since the epoch). ``tag``, ``said``: the beacon's last ETag, and the commit that came with it. ``trouble``: what was
    last told of a beacon that is of no use.
    """

    source: str = ""  # what was asked, and by which beacon
    commit: str = ""
    asked: float = 0.0
    until: float = 0.0
    tag: str = ""
    said: str = ""
    trouble: str = ""


class Beacon:
    """The configured beacon, at one poll.

    Args:
        config: with ``source.beacon``.
        directory: of the fetch user.
    """

    def __init__(self, config: Config, directory: Path) -> None:
        self._config = config
        self._file = directory / _FILE
        source = config.source
        self._source = json.dumps([source.urls, source.ref, source.beacon])
        found = _read(self._file)
        self._memory = found if found.source == self._source else Memory(source=self._source)
        self._tag, self._said = self._memory.tag, self._memory.said
        self.heard = ""
        """What it said at this poll, once it was asked."""

    def confirms(self, commit: str) -> bool:
        """Whether the server need not be asked: the beacon says that the ref is still at this commit.

        Raises:
            BeaconError: it cannot be asked, or says no commit.
        """
        memory, now = self._memory, time.time()
        oldest = now - self._config.source.beacon_max_age
        if memory.commit != commit or not (oldest < memory.asked <= now < memory.until):
            return False
        self._said = self.heard = self._ask()
        if self._said == commit and (self._tag != self._memory.tag or self._memory.trouble):
            self._write(trouble="")
        return self._said == commit

    def answered(self, commit: str) -> None:
        """The server itself was asked, and is at this commit.

        When it is next is left to chance, or the nodes of a cluster that started together would come together again.
        """
        now = time.time()
        age = self._config.source.beacon_max_age * random.uniform(_LEAST, 1)
        self._write(commit=commit, asked=now, until=now + age)

    def asking(self) -> None:
        """The server itself is about to be asked: so it is again until it has answered, also if this poll is killed."""
        if self._memory.commit:
            self._write(commit="", asked=0.0, until=0.0)

    def is_news(self, trouble: str) -> bool:
        """Whether this was not the last thing that was told of the beacon."""
        if trouble == self._memory.trouble:
            return False
        self._write(trouble=trouble)
        return True

    def _ask(self) -> str:
        url = self._config.source.beacon
        if url.startswith(("http://", "https://")):
            return self._fetch(url)
        try:
            file = os.open(_local(url), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo would wait
            with contextlib.closing(os.fdopen(file, "rb", buffering=0)):
                return _commit_in(os.read(file, _MOST))
        except OSError as error:
            raise BeaconError(error.strerror or str(error)) from error

    def _fetch(self, url: str) -> str:
        import http.client  # noqa: PLC0415 - only where a beacon is asked by HTTP: 1 MiB, and 20 ms once

        limit = self._config.source.connect_timeout
        try:
            with _time_limit(limit):
                for _ in range(1 + _REDIRECTS):
                    status, headers, body = self._get(url, limit)
                    if status not in {301, 302, 303, 307, 308}:
                        break
                    url = _same_host(url, headers.get("Location", ""))
        except TimeoutError as error:
            raise BeaconError(f"no whole answer within {limit:g} s") from error
        except OSError as error:
            raise BeaconError(one_line(error.strerror or str(error))) from error
        except http.client.HTTPException as error:
            raise BeaconError(f"no answer in HTTP: {one_line(str(error) or type(error).__name__)[:200]}") from error
        except ValueError as error:
            raise BeaconError(f"the server redirects to what is no address: {one_line(str(error))[:200]}") from error
        if status == http.HTTPStatus.NOT_MODIFIED and self._said:
            return self._said
        if status != http.HTTPStatus.OK:
            raise BeaconError(f"the server answers with {status}")
        said = _commit_in(body)
        tag = headers.get("ETag", "")[:_MOST]
        self._tag = tag if _is_tag(tag) else ""
        return said

    def _get(self, url: str, limit: float) -> "tuple[int, Any, bytes]":
        import http.client  # noqa: PLC0415 - see above

        at = urlsplit(url)
        assert at.hostname is not None  # the configuration demands it
        connection: http.client.HTTPConnection
        if at.scheme == "https":
            context = _context(self._config.source.ca_file)
            connection = http.client.HTTPSConnection(at.hostname, at.port, timeout=limit, context=context)
        else:
            connection = http.client.HTTPConnection(at.hostname, at.port, timeout=limit)
        with contextlib.closing(connection):
            asked = {"User-Agent": "nodeagent", "Accept": "text/plain, */*"}
            if self._tag and self._said:
                asked["If-None-Match"] = self._tag
            connection.request("GET", (at.path or "/") + (f"?{at.query}" if at.query else ""), headers=asked)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read(_MOST)

    def _write(self, **changes: Any) -> None:
        memory = Memory(**{**asdict(self._memory), "tag": self._tag, "said": self._said, **changes})
        self._memory = memory
        temporary = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk: then the server is asked once more
            temporary.write_text(json.dumps(asdict(memory)))
            temporary.rename(self._file)


def warm(config: Config) -> None:
    """Load, in the process that forks the polls, what the configured beacon takes to be asked."""
    scheme = config.source.beacon.partition("://")[0]
    if scheme in {"http", "https"}:
        for name in ("http.client", "encodings.idna"):  # the latter by whoever looks for a host by its name
            importlib.import_module(name)
    if scheme == "https":
        with contextlib.suppress(BeaconError):
            _context(config.source.ca_file)


def _context(ca_file: Path | None) -> "ssl.SSLContext":
    """Trusts the authorities of the file, or of the distribution: read when they changed, which takes 20 ms."""
    import ssl  # noqa: PLC0415 - see above

    file = ca_file or ssl.get_default_verify_paths().cafile  # those in a directory, OpenSSL reads as it needs them
    known = _contexts.get(ca_file)
    try:
        state = _state(file, known[0] if known else None) if file else ()
        if known is None or known[0] != state:
            known = _contexts[ca_file] = state, ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise BeaconError(f"{ca_file}: no certificates can be read from it: {error.strerror or error}") from error
    return known[1]


def _state(file: str | Path, known: tuple[int, ...] | None) -> tuple[int, ...]:
    """Its inode, change and size; as known where only root, who forks the polls, may look."""
    try:
        found = os.stat(file)
    except PermissionError:
        if known is None:
            raise
        return known
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """For all of an exchange: a socket's own limit is for each read, and a server may send byte by byte."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _same_host(url: str, location: str) -> str:
    there = urljoin(url, location)
    if urlsplit(there)[:2] != urlsplit(url)[:2]:
        raise BeaconError("the server redirects to another one, which is not followed")
    return there


def _commit_in(content: bytes) -> str:
    found = _COMMIT.match(content)
    if found is None:
        raise BeaconError("it does not begin with a line of a commit's 40 hexadecimal digits")
    return found[1].decode("ascii")


def _read(file: Path) -> Memory:
    try:
        with open(file, "rb") as stream:
            found = json.loads(stream.read(4 * _MOST))
        memory = Memory(**found)
    except (OSError, ValueError, TypeError, RecursionError):
        return Memory()
    kinds = {"asked": float, "until": float}
    whole = all(isinstance(value, kinds.get(name, str)) for name, value in asdict(memory).items())
    return memory if whole and _is_tag(memory.tag) else Memory()


def _is_tag(text: str) -> bool:
    """Whether it may stand in a request."""
    return text.isascii() and text.isprintable()


def port(url: str) -> int | None:
    """The port that is connected to; None for a file."""
    at = urlsplit(url)
    return at.port or {"http": 80, "https": 443}.get(at.scheme)


def path(url: str) -> str:
    """The file that is read, where it is one."""
    return os.path.realpath(_local(url))


def _local(url: str) -> str:
    """As in ``source.url``: %20 is a space in a file:// address, and itself in a path."""
    return unquote(url[len("file://") :], errors="surrogateescape") if url.startswith("file://") else url
