"""The address of a repository that is reached over SSH."""

import re
from dataclasses import dataclass

from nodeagent.errors import InvalidConfiguration

DEFAULT_PORT = 22
DEFAULT_USER = "git"  # what every git server's documents use; the node's own user means nothing to the server

_URL = re.compile(r"ssh://(?:(?P<user>[^@/:]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[^@/:\[\]]+)(?::(?P<port>\d{1,5}))?/.+")
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>[^@/:\[\]]+):(?P<path>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect to; ``str()`` is what messages say."""

    user: str
    host: str  # without the brackets of an IPv6 address
    port: int

    def __str__(self) -> str:
        return self.host if self.port == DEFAULT_PORT else f"{self.bracketed}:{self.port}"

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse(url: str) -> Address:
    """Take ``ssh://[USER@]HOST[:PORT]/PATH`` or ``[USER@]HOST:PATH`` apart.

    Raises:
        InvalidConfiguration: it is neither, or the port is none.
    """
    found = _URL.fullmatch(url) or ("://" not in url and _SCP.fullmatch(url)) or None
    port = int(found.groupdict().get("port") or DEFAULT_PORT) if found else 0
    if found is None or not 0 < port < 2**16:
        raise InvalidConfiguration(
            "source.url: an SSH address without a password is needed: ssh://USER@HOST[:PORT]/PATH or USER@HOST:PATH"
        )
    return Address(user=found["user"] or DEFAULT_USER, host=found["host"].strip("[]"), port=port)
