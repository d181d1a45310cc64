"""What libgit2 asks on the way to any server."""

from typing import NoReturn

from nodeagent.source.libgit2 import pygit2


class Callbacks(pygit2.RemoteCallbacks):
    """What a kind of server has of its own is in the classes that descend from this one."""

    # Nobody looks at a fetch's progress, and pygit2 fails on a server whose messages are no UTF-8.
    sideband_progress = transfer_progress = update_tips = None  # type: ignore[assignment]

    def prepare(self, repository: pygit2.Repository) -> None:
        """Called before the connection is made, with the repository that is fetched into."""

    def refused(self, text: str = "") -> NoReturn:
        """Say that the server does not let this node in, though nobody asked here; ``text``: what libgit2 said of it.

        Raises:
            AuthenticationFailed: always.
        """
        raise NotImplementedError

    def no_common_key(self, repository: pygit2.Repository, url: str) -> None:
        """The server has no host key of a pinned type, it seems: find out, and say so."""
