"""What opens the way to the servers: gained as root, used by the process that has given up root."""

from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.config import Config
from nodeagent.model.address import Https, Ssh, parse
from nodeagent.source.remote import https, known_hosts
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
    source = config.source
    servers = [parse(url) for url in source.urls]
    key = unlock(config, credentials_directory) if any(isinstance(server, Ssh) for server in servers) else b""
    return with_key(config, key)


def with_key(config: Config, key: bytes) -> Access:
    """As :func:`gain`, with a deploy key that was opened elsewhere."""
    source = config.source
    if any(isinstance(server, Https) and server.secure for server in map(parse, source.urls)):
        https.trust(source.ca_file)
    return Access(key=key, pinned_in=source.pinned_in, ca_file=source.ca_file, proxy=source.proxy or None)
