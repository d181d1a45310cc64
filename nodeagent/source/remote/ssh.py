"""What libgit2 asks on the way to an SSH server: is this its host key, and who comes?"""

import contextlib
from pathlib import Path
from typing import NoReturn

from nodeagent.errors import AuthenticationFailed, HostKeyMismatch, HostKeyUnknown
from nodeagent.model.address import Ssh
from nodeagent.source.libgit2 import enums, pygit2
from nodeagent.source.remote import asked, known_hosts
from nodeagent.source.remote.known_hosts import Pin


class Callbacks(asked.Callbacks):
    def __init__(self, server: Ssh, key: bytes, pinned_in: str) -> None:
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

    def certificate_check(self, certificate: bytes, valid: bool, host: bytes) -> bool:  # type: ignore[override] # see libgit2.py
        # "valid" is libssh2's answer from the same pins. It takes a key of HOST for HOST:PORT too, which has others.
        shown = Pin.from_blob(certificate)
        if not valid or shown not in self._pinned().keys:
            self.untrusted(shown)
        return True

    def refused(self, text: str = "") -> NoReturn:
        raise AuthenticationFailed(
            f"{self.server}: refused the deploy key for user {self.server.user}: add the public half (key.pub) to the "
            "repository's deploy keys (or authorized_keys), or correct the user in source.url"
        )

    def no_common_key(self, repository: pygit2.Repository, url: str) -> None:
        """Ask once more, without the pinned keys, which host key the server has; refuse it if it has one.

        libssh2 asks for the pinned types only, and a server that has none of them ends the key exchange with an error
        that says nothing more. A connection that merely breaks off there ends with the same one: so the pinned types
        are asked for again, too. The deploy key is not offered in these connections.
        """
        shown = _shown(repository, url, home="/nonexistent")
        if shown is not None and _shown(repository, url, home=pygit2.settings.homedir or "") is None:
            self.untrusted(shown)

    def untrusted(self, shown: Pin) -> NoReturn:
        """Say why the server's host key is not accepted.

        Raises:
            HostKeyMismatch: others are pinned.
            HostKeyUnknown: none is.
        """
        pinned = self._pinned()
        where = f"{self.server}: shows the host key {shown}"
        scan = f"ssh-keyscan -p {self.server.port} {self.server.host}"
        if shown in pinned.revoked:
            raise HostKeyUnknown(
                f"{where}, which is @revoked in {self._pinned_in}: whoever has that key is not to be trusted; give the "
                f"server a new one, and pin it there (`{scan}`)"
            )
        if pinned.keys:
            raise HostKeyMismatch(
                f"{where}, and pinned in {self._pinned_in} is {', '.join(map(str, pinned.keys))}: somebody may be "
                f"listening in; if the server has a new key, compare `{scan}` with the server's own (ssh-keygen -lf), "
                "and replace the line"
            )
        reason = "no host key is pinned"
        if pinned.authorities:
            reason = "only a @cert-authority is pinned, and host certificates are not understood"
        raise HostKeyUnknown(
            f"{where}, and {reason} in {self._pinned_in}: run `{scan}` on a network that you trust, compare the "
            "fingerprint with the server's own (ssh-keygen -lf), and add the line"
        )

    def _pinned(self) -> known_hosts.Pinned:
        return known_hosts.narrowed(Path(pygit2.settings.homedir or ""), self.server)


class _Probe(pygit2.RemoteCallbacks):
    """Looks which host key the server shows, and leaves."""

    shown: Pin | None = None

    def certificate_check(self, certificate: bytes, valid: bool, host: bytes) -> bool:  # type: ignore[override] # see libgit2.py
        self.shown = Pin.from_blob(certificate)
        return False


def _shown(repository: pygit2.Repository, url: str, home: str) -> Pin | None:
    """The host key that the server shows to who knows the ones that are pinned in that home directory."""
    before = pygit2.settings.homedir or ""
    probe = _Probe()
    pygit2.settings.homedir = home
    with contextlib.suppress(pygit2.GitError):
        repository.remotes.create_anonymous(url).connect(callbacks=probe)
    pygit2.settings.homedir = before
    return probe.shown
