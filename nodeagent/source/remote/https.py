"""What libgit2 asks on the way to an HTTPS server: is this its certificate, and who comes?

Authorities are of this process, and none are trusted until :func:`trust` names a file of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from nodeagent.errors import AuthenticationFailed, CertificateInvalid, InvalidConfiguration
from nodeagent.model.address import HTTP_PORT, HTTPS_PORT, Https
from nodeagent.source.foreign import one_line
from nodeagent.source.libgit2 import enums, pygit2
from nodeagent.source.remote import asked

# Where distributions keep the authorities that they trust: EL, Debian, SUSE.
_SYSTEM = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who an HTTPS server lets in. ``secret`` is a password or a token."""

    user: str
    secret: str = field(repr=False)


def trust(ca_file: Path | None) -> None:
    """Trust the authorities of the file, and no others; those of the distribution without one. Once a process.

    Raises:
        InvalidConfiguration: the file cannot be read, or holds no certificate.
    """
    for path in [ca_file] if ca_file else _system():
        try:
            pygit2.settings.set_ssl_cert_locations(str(path), None)
        except pygit2.GitError as error:
            raise InvalidConfiguration(
                f"source.ca_file: {path}: no certificates can be read from it: {one_line(str(error))}: it must be PEM "
                "(-----BEGIN CERTIFICATE-----)"
            ) from error


def _system() -> Iterator[Path]:
    yield from [path for path in map(Path, _SYSTEM) if path.is_file()][:1]


class Callbacks(asked.Callbacks):
    def __init__(self, server: Https, login: Login | None, ca_file: Path | None) -> None:
        super().__init__()
        self.server = server
        self._login = login
        self._ca_file = ca_file
        self._offered = False

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: enums.CredentialType
    ) -> pygit2.UserPass:
        if self._offered or self._login is None or not allowed_types & enums.CredentialType.USERPASS_PLAINTEXT:
            self.refused()
        self._demand_same(url)
        self._offered = True
        return pygit2.UserPass(self._login.user, self._login.secret)

    def _demand_same(self, url: str) -> None:
        """Tell nobody else who comes: a redirect may lead to another port of the host."""
        at = urlsplit(url)
        port = at.port or (HTTPS_PORT if at.scheme == "https" else HTTP_PORT)
        if (at.hostname or "", port) != (self.server.host.lower(), self.server.port):
            raise AuthenticationFailed(
                f"{self.server}: sends this node to {one_line(url)}, which asks for a password or token and is not "
                "told it: if it is meant, put that address into source.url"
            )

    def certificate_check(self, certificate: bytes, valid: bool, host: bytes) -> bool:  # type: ignore[override] # see libgit2.py
        if not valid:
            # Only where something is wrong: cryptography takes 30 ms and some MiB.
            try:
                from nodeagent.source.remote import certificate as reader  # noqa: PLC0415 - see above
            except ImportError as error:  # not within reach of the user that this process is now
                raise CertificateInvalid(
                    f"{self.server}: its certificate is not trusted: is it for {self.server.host}, not over, and its "
                    "authority in source.ca_file?"
                ) from error

            reader.refuse(self.server, certificate, self._ca_file)
        return True

    def refused(self, text: str = "") -> NoReturn:
        """Say why the server does not let this node in.

        Raises:
            AuthenticationFailed: always.
        """
        if text:  # a status that is no question, or of the proxy
            raise AuthenticationFailed(f"{self.server}: {text}")
        if self._login is None:
            raise AuthenticationFailed(
                f"{self.server}: asks for a user and a password or token, and none is configured: give nodeagent the "
                "credential that login.credential names (nodeagent.login), or correct source.url: some servers ask for "
                "what they do not have"
            )
        raise AuthenticationFailed(
            f"{self.server}: refused user {self._login.user} with the password or token of login.credential: it may "
            "have ended, or lack the right to read the repository: correct it, or login.user"
        )
