"""``[login]`` and ``[proxy_login]``: who this node is to an HTTPS server, and to a proxy before it."""

from pathlib import Path

from pydantic import Field

from nodeagent.config.password import CredentialName
from nodeagent.config.table import AbsolutePath, Table, said


class Login(Table):
    """Who this node is to an HTTPS server that asks."""

    user: str = Field(
        default="git", min_length=1, description="The user; for a token, what the server's documents say."
    )
    credential: CredentialName = said(
        "nodeagent.login", "The systemd credential whose first line is the password or token."
    )
    file: AbsolutePath = said(
        Path("/run/nodeagent.login"), "Its first line, if there is no credential; root-only, on tmpfs."
    )


class ProxyLogin(Table):
    """Who this node is to the proxy."""

    user: str = said("", "The user; without one, the proxy is told nobody.")
    credential: CredentialName = said("nodeagent.proxy", "The systemd credential whose first line is the password.")
    file: AbsolutePath = said(
        Path("/run/nodeagent.proxy"), "Its first line, if there is no credential; root-only, on tmpfs."
    )
