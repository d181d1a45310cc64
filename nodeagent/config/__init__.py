"""Configuration: ``/etc/nodeagent/nodeagent.toml``, then ``nodeagent.toml.d/*.toml`` in the order of their names.

Every key but ``source.url`` has a default. An unknown key or a bad value raises
:class:`~nodeagent.errors.InvalidConfiguration`, naming the file, the key and what is allowed.
"""

from nodeagent.config.login import Login, ProxyLogin
from nodeagent.config.node import Jobs, Ledger, Limits, Paths, Ready
from nodeagent.config.password import Password
from nodeagent.config.read import DEFAULT_FILE, load
from nodeagent.config.source import Signatures, Source
from nodeagent.config.whole import Config, Drift, FirstStart, Prune

__all__ = [
    "DEFAULT_FILE",
    "Config",
    "Drift",
    "FirstStart",
    "Jobs",
    "Ledger",
    "Limits",
    "Login",
    "Password",
    "Paths",
    "ProxyLogin",
    "Prune",
    "Ready",
    "Signatures",
    "Source",
    "load",
]
