"""Talk to the repository: list its refs, fetch what is new, read what was fetched.

All of it runs without privileges, in a child of its own. libgit2's errors become nodeagent's in one place,
:meth:`Remote._translated`.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pygit2  # noqa: TID251 - the door
from pygit2 import enums  # noqa: TID251 - the door
from pygit2.ffi import C as LIBGIT2  # noqa: TID251 - the door

from nodeagent.errors import (
    AuthenticationFailed,
    HostKeyMismatch,
    HostKeyUnknown,
    KeyFileInvalid,
    NodeagentError,
    ReferenceNotFound,
    RemoteUnreachable,
    RepositoryNotFound,
    StoreUnusable,
)
from nodeagent.source import address, known_hosts, objects
from nodeagent.source.foreign import one_line

FETCHED = "refs/nodeagent/fetched"
_ASIDE = "refs/nodeagent/aside"  # what was fetched to be looked at only

_KINDS = {
    enums.ObjectType.COMMIT: objects.Kind.COMMIT,
    enums.ObjectType.TREE: objects.Kind.TREE,
    enums.ObjectType.BLOB: objects.Kind.BLOB,
}

_configured: list[tuple[Path, float, float]] = []  # what libgit2, which has one set of settings a process, was told

_CONFIGURATIONS = (
    enums.ConfigLevel.PROGRAMDATA,
    enums.ConfigLevel.SYSTEM,
    enums.ConfigLevel.XDG,
    enums.ConfigLevel.GLOBAL,
)
# What servers answer after a successful login when the repository is not there, or not for this key.
_NO_REPOSITORY = (
    "does not appear to be a git repository",  # git itself
    "repository not found",  # GitHub, Bitbucket
    "could not be found",  # GitLab
    "cannot find repository",  # Gitea, Forgejo
    "no such repository",
    "invalid gitfile format",
    "not a git repository",
    "dubious ownership",
    "access denied",  # gitolite
)
_LOST = ("time", "socket", "banner", "disconnect", "connection", "recv", "send")  # in libssh2's messages
_CUT_OFF = ("early EOF", "incomplete pack header", "missing trailer", "unexpected data at the end")
_FROM_THE_NETWORK = (LIBGIT2.GIT_ERROR_NET, LIBGIT2.GIT_ERROR_SSH, LIBGIT2.GIT_ERROR_SSL)


def configure(home: Path, connect_timeout: float, timeout: float) -> None:
    """Set up libgit2 for this process and those that it forks, unless it is; call it before anything else here.

    Args:
        home: the directory whose ``.ssh/known_hosts`` holds the pinned host keys.
        connect_timeout: seconds, to connect.
        timeout: seconds without a byte from the server.
    """
    wanted = (home, connect_timeout, timeout)
    if _configured == [wanted]:
        return
    _configured[:] = [wanted]
    settings = pygit2.settings
    for level in _CONFIGURATIONS:
        settings.search_path[level] = ""  # the node's own git configuration is none of ours, and may be unreadable
    settings.homedir = str(home)
    settings.server_connect_timeout = int(connect_timeout * 1000)
    settings.server_timeout = int(timeout * 1000)
    settings.enable_strict_object_creation(True)
    settings.enable_strict_hash_verification(False)  # it takes longer than to read; Store.read does it by OpenSSL


class Store:
    """A bare repository of the fetch user's own, that holds what was fetched."""

    def __init__(self, path: Path, repository: pygit2.Repository) -> None:
        self.path = path
        self._repository = repository

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open the store; make it when it is not there, and make it anew when it is damaged.

        Raises:
            StoreUnusable: it cannot be made: no space, no permission.
        """
        flags = enums.RepositoryOpenFlag.NO_SEARCH | enums.RepositoryOpenFlag.BARE
        try:
            return cls(path, pygit2.Repository(str(path), flags))
        except pygit2.GitError:
            return cls.anew(path)
        except OSError as error:  # what libgit2 could not even look at
            raise _unusable(path, error) from error

    @classmethod
    def anew(cls, path: Path) -> "Store":
        """Throw away what is there and make an empty store."""
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return cls(path, pygit2.init_repository(str(path), bare=True))
        except (OSError, pygit2.GitError) as error:
            raise _unusable(path, error) from error

    def has(self, commit: str) -> bool:
        """Tell whether the commit was fetched (a fetch that was cut off leaves nothing)."""
        return commit in self._repository

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was left out of the history that the store holds."""
        return not self._repository.is_shallow

    @property
    def is_empty(self) -> bool:
        return FETCHED not in self._repository.references

    def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether the new commit descends from the old one, or is it, as far as the store's history goes.

        Raises:
            StoreUnusable: a commit of the history cannot be read.
        """
        if not self.has(old):
            return False
        with self._reading():
            return old == new or self._repository.descendant_of(pygit2.Oid(hex=new), pygit2.Oid(hex=old))

    def read(self, oid: str) -> bytes:
        """The raw content of an object, without git's header.

        Raises:
            StoreUnusable: it is not there, or damaged.
        """
        with self._reading():
            number, content = self._repository.odb.read(pygit2.Oid(hex=oid))
            if objects.object_id(_KINDS[number], content) != oid:
                raise ValueError(f"the object {oid} is another one")
            return content

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            raise StoreUnusable(
                f"{self.path}: the store of fetched commits is damaged: {error}: it is made anew"
            ) from error

    def remote(self, url: str, key: bytes, pinned_in: Path) -> "Remote":
        """The repository at the URL; nothing is contacted yet.

        The key is a private key that needs no passphrase; ``pinned_in`` is the administrator's known_hosts, which
        messages name.
        """
        return Remote(self._repository, url, key, pinned_in)


def _unusable(path: Path, error: Exception) -> StoreUnusable:
    return StoreUnusable(
        f"{path}: the store of fetched commits cannot be used: {error}: its directory must belong to the fetch user, "
        "be within its reach, and have space"
    )


class Remote:
    """The repository on the server, as one connection sees it."""

    def __init__(self, repository: pygit2.Repository, url: str, key: bytes, pinned_in: Path) -> None:
        self._repository = repository
        self._url = url
        self._callbacks = _Callbacks(address.parse(url), key, pinned_in)
        self._remote = repository.remotes.create_anonymous(url)

    def head(self, ref: str) -> str:
        """Connect, and give the commit (hex) that the branch points to.

        Raises:
            RemoteUnreachable, AuthenticationFailed, HostKeyUnknown, HostKeyMismatch, RepositoryNotFound,
            ReferenceNotFound, KeyFileInvalid
        """
        with self._translated():
            heads = {head.name: str(head.oid) for head in self._remote.list_heads(callbacks=self._callbacks)}
        name = f"refs/heads/{ref}"
        if name in heads:
            return heads[name]
        if not heads:
            raise ReferenceNotFound(f"{self._url}: the repository is empty: push the branch {ref}")
        branches = sorted(h.removeprefix("refs/heads/") for h in heads if h and h.startswith("refs/heads/"))
        raise ReferenceNotFound(
            f"{self._url}: there is no branch {ref} (there is: {one_line(', '.join(branches[:5])) or 'none'}"
            f"{', ...' if branches[5:] else ''}): push it, or set source.ref"
        )

    def find(self, name: str) -> tuple[str, str]:
        """Connect, and give the full name of a branch or tag and the commit (hex) that it points to.

        Raises: as :meth:`head`.
        """
        with self._translated():
            heads = {head.name: str(head.oid) for head in self._remote.list_heads(callbacks=self._callbacks)}
        for full in (f"refs/heads/{name}", f"refs/tags/{name}"):
            if full in heads:
                return full, heads.get(f"{full}^{{}}", heads[full])  # what an annotated tag stands for
        raise ReferenceNotFound(f"{self._url}: there is no branch and no tag {one_line(name)}: push it, or correct it")

    def fetch_aside(self, names: Sequence[str], *, whole: bool) -> None:
        """Fetch refs, by their full names or patterns, without touching the one that is followed.

        Raises: as :meth:`fetch`.
        """
        with self._translated(storing=True):
            specifications = [f"+{name}:{_ASIDE}/{name.removeprefix('refs/')}" for name in names]
            self._remote.fetch(specifications, callbacks=self._callbacks, depth=0 if whole else 1)

    def fetch(self, ref: str, *, whole: bool) -> None:
        """Fetch the branch over the connection that :meth:`head` made.

        With ``whole``, everything that the store lacks comes; else the newest commit without its history.

        Raises:
            RemoteUnreachable: the connection broke.
            StoreUnusable: what came cannot be stored, or does not fit what is there.
        """
        with self._translated(storing=True):
            specification = f"+refs/heads/{ref}:{FETCHED}"
            self._remote.fetch([specification], callbacks=self._callbacks, depth=0 if whole else 1)

    @contextlib.contextmanager
    def _translated(self, *, storing: bool = False) -> Iterator[None]:
        """Turn libgit2's errors into nodeagent's; what the callbacks raised passes as it is."""
        try:
            yield
        except pygit2.GitError as error:
            kind = int(LIBGIT2.git_error_last().klass)
            message = one_line(str(error).strip())
            if isinstance(error, pygit2.AuthError) and not _lost(message):
                self._callbacks.refused()
            if "Unable to exchange encryption keys" in message and self._has_other_host_key():
                self._callbacks.untrusted()
            raise _explain(self._url, message, local=storing and kind not in _FROM_THE_NETWORK) from error

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


def _explain(url: str, message: str, *, local: bool) -> NodeagentError:
    lower = message.lower()
    if "private key" in lower or "public key" in lower:
        return KeyFileInvalid(
            f"the deploy key in the key file cannot be used: {message}: make a new one with nodeagent key generate"
        )
    if any(text in lower for text in _NO_REPOSITORY):
        return RepositoryNotFound(
            f"{url}: the server has no such repository, or hides it from this key: {message}: correct source.url, or "
            "give the key access"
        )
    if local and not any(text in message for text in _CUT_OFF):
        return StoreUnusable(f"{url}: what was fetched cannot be stored: {message}")
    return RemoteUnreachable(f"{url}: {message}: is tried again by itself; is the server up, and reachable from here?")


def _lost(message: str) -> bool:
    return any(text in message.lower() for text in _LOST)
