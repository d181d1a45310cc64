"""The repository on the server, as one connection sees it: list its refs, fetch from them.

What libgit2's errors mean stands in :mod:`~nodeagent.source.remote.translate`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pygit2  # noqa: TID251 - the door
from pygit2 import enums  # noqa: TID251 - the door

from nodeagent.errors import (
    AuthenticationFailed,
    HostKeyMismatch,
    HostKeyUnknown,
    ReferenceNotFound,
    RemoteUnreachable,
)
from nodeagent.source.foreign import one_line
from nodeagent.source.remote import address, known_hosts, translate
from nodeagent.source.remote.refs import Target, find

FETCHED = "refs/nodeagent/fetched"
_ASIDE = "refs/nodeagent/aside"  # what was fetched to be looked at only


class Remote:
    """The repository on the server, as one connection sees it."""

    def __init__(self, repository: pygit2.Repository, url: str, key: bytes, pinned_in: Path) -> None:
        self._repository = repository
        self._url = url
        self._callbacks = _Callbacks(address.parse(url), key, pinned_in)
        self._remote = repository.remotes.create_anonymous(url)

    def find(self, ref: str) -> Target:
        """Connect, and find a branch, a tag or a full commit id.

        Raises:
            RemoteUnreachable, AuthenticationFailed, HostKeyUnknown, HostKeyMismatch, RepositoryNotFound,
            ReferenceNotFound, KeyFileInvalid
        """
        with self._translated():
            listed = self._remote.list_heads(callbacks=self._callbacks)
            heads = {head.name: str(head.oid) for head in listed if head.name is not None}
        return find(self._url, heads, ref)

    def fetch(self, target: Target, *, whole: bool, aside: bool = False) -> None:
        """Fetch what :meth:`find` found, over the connection that it made.

        With ``whole``, everything that the store lacks comes; else the commit without its history. A commit that no
        ref points to comes with all branches and tags, since servers need not give out others. With ``aside``, the
        ref that is followed stays where it is.

        Raises:
            RemoteUnreachable: the connection broke, or the ref was moved meanwhile.
            ReferenceNotFound: what was found is no commit, or no branch or tag leads to it.
            StoreUnusable: what came cannot be stored, or does not fit what is there.
        """
        names = [target.name] if target.name else ["refs/heads/*", "refs/tags/*"]
        aside = aside or not target.name
        specifications = [f"+{n}:{_ASIDE}/{n.removeprefix('refs/')}" if aside else f"+{n}:{FETCHED}" for n in names]
        with self._translated(storing=True):
            depth = 0 if whole or not target.name else 1
            self._remote.fetch(specifications, callbacks=self._callbacks, depth=depth)
            found = self._repository.get(target.commit)
        if found is None and target.name:
            raise RemoteUnreachable(f"{self._url}: {one_line(target.shown)} was moved while it was fetched: once more")
        if not isinstance(found, pygit2.Commit):
            reason = "no branch and no tag leads to it" if found is None else "it is no commit"
            raise ReferenceNotFound(f"{self._url}: {one_line(target.shown)}: {reason}: push it, or correct the name")

    @contextlib.contextmanager
    def _translated(self, *, storing: bool = False) -> Iterator[None]:
        """Turn libgit2's errors into nodeagent's; what the callbacks raised passes as it is."""
        try:
            yield
        except pygit2.GitError as error:
            found = translate.failure(error, storing=storing)
            if found.error is AuthenticationFailed:
                self._callbacks.refused()
            if found.no_common_key and self._has_other_host_key():
                self._callbacks.untrusted()
            raise found.error(f"{self._url}: {found.text}") from error

    def _has_other_host_key(self) -> bool:
        """Ask once more, without the pinned keys, whether the server has a host key, only none of a pinned type.

        libssh2 asks for the pinned types only, and a server that has none of them ends the key exchange with an error
        that says nothing more. The deploy key is not offered in this connection.
        """
        home = pygit2.settings.homedir
        probe = _Probe()
        pygit2.settings.homedir = "/nonexistent"
        try:
            self._repository.remotes.create_anonymous(self._url).connect(callbacks=probe)
        except pygit2.GitError:
            return probe.shown
        finally:
            pygit2.settings.homedir = home or ""
        return False


class _Callbacks(pygit2.RemoteCallbacks):
    """What libgit2 asks while it connects."""

    # Nobody looks at a fetch's progress, and pygit2 fails on a server whose messages are no UTF-8.
    sideband_progress = transfer_progress = update_tips = None  # type: ignore[assignment]

    def __init__(self, server: address.Address, key: bytes, pinned_in: Path) -> None:
        super().__init__()
        self.server = server
        self._key = key
        self._pinned_in = pinned_in
        self._offered = False

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: enums.CredentialType
    ) -> pygit2.Username | pygit2.Keypair:
        if allowed_types & enums.CredentialType.USERNAME:
            return pygit2.Username(self.server.user)
        if self._offered or not allowed_types & enums.CredentialType.SSH_MEMORY:
            self.refused()
        self._offered = True
        # The public half is computed from the private one.
        return pygit2.KeypairFromMemory(username_from_url or self.server.user, None, self._key.decode(), "")

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        # For SSH, "valid" is libgit2's answer from the pinned keys; the certificate itself does not come through.
        if not valid:
            self.untrusted()
        return True

    def refused(self) -> NoReturn:
        raise AuthenticationFailed(
            f"{self.server}: refused the deploy key for user {self.server.user}: add the public half (key.pub) to the "
            "repository's deploy keys (or authorized_keys), or correct the user in source.url"
        )

    def untrusted(self) -> NoReturn:
        """Say why the server's host key is not accepted."""
        keys = known_hosts.narrowed(Path(pygit2.settings.homedir or ""))
        scan = f"ssh-keyscan -p {self.server.port} {self.server.host}"
        if not keys:
            raise HostKeyUnknown(
                f"{self.server}: no host key is pinned in {self._pinned_in}: run `{scan}` on a network that you trust, "
                "compare the fingerprint with the server's own (ssh-keygen -lf), and add the line"
            )
        pinned = ", ".join(f"{key.kind} {key.fingerprint}" for key in keys)
        raise HostKeyMismatch(
            f"{self.server}: shows another host key than the one pinned in {self._pinned_in} ({pinned}): somebody may "
            f"be listening in; if the server has a new key, compare `{scan}` with the server's own (ssh-keygen -lf), "
            "and replace the line"
        )


class _Probe(pygit2.RemoteCallbacks):
    """Looks whether the server shows a host key, and leaves."""

    shown = False

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:
        self.shown = True
        return False
