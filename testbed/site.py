"""A node's side of a site: the files below ``/etc/nodeagent`` that make it a client of a :class:`GitServer`."""

from pathlib import Path

from testbed.gitserver import GitServer

CREDENTIAL = "nodeagent.password"


def configure(root: Path, server: GitServer, *, settings: str = "", source: str = "") -> None:
    """Write configuration, encrypted key and pinned host key for the machine whose files are below ``root``.

    ``settings`` and ``source`` are lines of TOML for the top level and for ``[source]``.
    """
    directory = root / "etc/nodeagent"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "key.enc").write_bytes(server.encrypted_key.read_bytes())
    (directory / "known_hosts").write_text(server.known_hosts)
    (directory / "nodeagent.toml").write_text(f'{settings}\n\n[source]\nurl = "{server.url}"\n{source}\n')
