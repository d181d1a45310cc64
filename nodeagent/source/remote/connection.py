"""The repository on the server, as one connection sees it: list its refs, fetch from them.

What libgit2's errors mean stands in :mod:`~nodeagent.source.remote.translate`.
"""

import contextlib
import os
from collections.abc import Iterator

from nodeagent.errors import AuthenticationFailed, ReferenceNotFound, RemoteUnreachable, RevisionRejected
from nodeagent.model.address import Address, Https, Local, Ssh, parse
from nodeagent.source.foreign import one_line
from nodeagent.source.libgit2 import pygit2
from nodeagent.source.remote import https, local, ssh, translate
from nodeagent.source.remote.access import Access
from nodeagent.source.remote.refs import ASIDE, FETCHED, Target, find
from nodeagent.source.remote.translate import Stage


class Remote:
    """The repository on the server, as one connection sees it."""

    def __init__(self, repository: pygit2.Repository, url: str, access: Access) -> None:
        self._repository = repository
        self._url = url
        server = parse(url)
        self._sends_parts = not isinstance(server, Local)  # libgit2 does not leave out history of a local repository
        self._proxy = access.proxy if isinstance(server, Https) else None
        self._shown = f"{url} (by source.proxy)" if self._proxy else url
        self._callbacks = _callbacks(server, access)
        self._remote = repository.remotes.create_anonymous(str(server) if isinstance(server, Local) else url)

    def find(self, ref: str) -> Target:
        """Connect, and find a branch, a tag or a full commit id.

        Raises:
            RemoteUnreachable, AuthenticationFailed, HostKeyUnknown, HostKeyMismatch, RepositoryNotFound,
            ReferenceNotFound, KeyFileInvalid, RevisionRejected
        """
        with self._translated(Stage.ASKING):
            self._callbacks.prepare(self._repository)
            listed = self._remote.list_heads(callbacks=self._callbacks, proxy=self._proxy)
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
        specifications = [f"+{n}:{ASIDE}/{n.removeprefix('refs/')}" if aside else f"+{n}:{FETCHED}" for n in names]
        empty = not os.listdir(os.path.join(self._repository.path, "objects/pack"))
        with self._translated(Stage.FILLING if empty else Stage.ADDING):
            depth = 0 if whole or not target.name or not self._sends_parts else 1
            self._remote.fetch(specifications, callbacks=self._callbacks, depth=depth, proxy=self._proxy)
            found = self._repository.get(target.commit)
        if found is None and target.name:
            raise RemoteUnreachable(f"{self._url}: {one_line(target.shown)} was moved while it was fetched: once more")
        if not isinstance(found, pygit2.Commit):
            reason = "no branch and no tag leads to it" if found is None else "it is no commit"
            raise ReferenceNotFound(f"{self._url}: {one_line(target.shown)}: {reason}: push it, or correct the name")

    @contextlib.contextmanager
    def _translated(self, stage: Stage) -> Iterator[None]:
        """Turn libgit2's errors into nodeagent's; what the callbacks raised passes as it is."""
        try:
            yield
        except MemoryError as error:  # Python's own share; what libgit2 lacks is a GitError
            raise RevisionRejected(
                f"{self._shown}: what the server lists takes more memory than [limits] allows: remove refs there, "
                "or raise limits.file_bytes"
            ) from error
        except pygit2.GitError as error:
            found = translate.failure(error, stage)
            if found.error is AuthenticationFailed:
                self._callbacks.refused(found.text)
            if found.no_common_key:
                self._callbacks.no_common_key(self._repository, self._url)
            raise found.error(f"{self._shown}: {found.text}") from error


def _callbacks(server: Address, access: Access) -> ssh.Callbacks | https.Callbacks | local.Callbacks:
    match server:
        case Ssh():
            return ssh.Callbacks(server, access.key, access.pinned_in)
        case Https():
            return https.Callbacks(server, access.login, access.ca_file)
        case Local():
            return local.Callbacks(server)
