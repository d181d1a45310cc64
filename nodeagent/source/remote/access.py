"""What opens the way to the servers: gained as root, used by the process that has given up root."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from nodeagent.config import Config
from nodeagent.model.address import Https, Ssh, parse
from nodeagent.source.remote import https, known_hosts
from nodeagent.source.secrets.login import read_login
from nodeagent.source.secrets.memory import keep_out_of_cores
from nodeagent.source.secrets.unlock import unlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a server may ask for; whatever no server of the configuration does is empty.

    ``key`` is a private key that needs no passphrase; ``pinned_in`` says where the administrator has pinned host keys;
    ``proxy`` is the address of an HTTP proxy, with its credentials if it wants some.
    """

    key: bytes = field(default=b"", repr=False)
    pinned_in: str = ""
    login: https.Login | None = None
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)


def prepare(config: Config, home: Path) -> None:
    """Write the pinned host keys to where libgit2 looks for them; cheap when nothing has changed.

    Raises:
        InvalidConfiguration: the known_hosts cannot be read.
    """
    servers = [found for found in map(parse, config.source.urls) if isinstance(found, Ssh)]
    if servers:
        known_hosts.narrow(config.source.known_hosts, config.source.host_keys, home, servers)


def gain(config: Config, credentials_directory: Path | None) -> Access:
    """Open what the configured servers may ask for, and trust who may vouch for them, in this process, without a core.

    Raises:
        NodeagentError: a secret cannot be had; see :func:`nodeagent.source.secrets.unlock.unlock`.
        InvalidConfiguration: the authorities cannot be read.
    """
    keep_out_of_cores()
    key = unlock(config, credentials_directory) if wants_key(config) else b""
    return with_key(config, key, credentials_directory)


def wants_key(config: Config) -> bool:
    """Whether any of the servers is one that asks for the deploy key."""
    return any(isinstance(server, Ssh) for server in map(parse, config.source.urls))


def with_key(config: Config, key: bytes, credentials_directory: Path | None) -> Access:
    """As :func:`gain`, with a deploy key that was opened elsewhere."""
    source = config.source
    servers = [server for server in map(parse, source.urls) if isinstance(server, Https)]
    if not servers:
        return Access(key=key, pinned_in=source.pinned_in)
    if any(server.secure for server in servers):
        https.trust(source.ca_file)
    secret = read_login(config.login, credentials_directory)
    return Access(
        key=key,
        pinned_in=source.pinned_in,
        login=None if secret is None else https.Login(user=config.login.user, secret=secret),
        ca_file=source.ca_file,
        proxy=_proxy(config, credentials_directory),
    )


def _proxy(config: Config, credentials_directory: Path | None) -> str | None:
    """The proxy's address, with user and password in it: libgit2 takes them by no other way."""
    user, address = config.proxy_login.user, config.source.proxy
    if not user or not address:
        return address or None
    secret = read_login(config.proxy_login, credentials_directory) or ""
    scheme, _, host = address.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(secret, safe='')}@{host}"
