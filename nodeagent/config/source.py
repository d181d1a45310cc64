"""``[source]`` and ``[signatures]``: where the wanted state comes from, and who may have signed it."""

import datetime
import re
import urllib.parse
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nodeagent.config.password import CredentialName
from nodeagent.config.table import AbsolutePath, Table, said
from nodeagent.model import address

MOST_ITERATIONS = 10_000_000  # of PBKDF2: seconds
_HOST_KEY = re.compile(r"(?:@[a-z-]+\s+)?\S+\s+[a-z][\w@.-]+\s+AAAA[A-Za-z0-9+/]+={0,2}(?:\s[^\n\r]*)?")
_PROXY = re.compile(r"http://[^\s@/?#]+/?")
_BEACON = re.compile(r"https?://[^\s@/?#]+/[^\s#]*|(?:file://)?/(?:(?!%00)[^\0])+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _is_url(text: str) -> bool:
    """Whether it can stand in a request: in ASCII, with a host, and with a port that there is, if with any."""
    try:
        found = urllib.parse.urlsplit(text)
        return text.isascii() and bool(found.hostname) and found.port != 0
    except ValueError:
        return False


class Source(Table):
    """Where the wanted state comes from."""

    url: str = Field(
        min_length=1,
        description="The repository: ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH, https://HOST[:PORT]/PATH, "
        "file:///PATH or /PATH (a repository, or a file that git bundle made), without a password.",
    )
    mirrors: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Addresses of copies of the repository, asked in this order when those before cannot be followed.",
    )
    ref: str = Field(
        default="main", min_length=1, description="The branch, tag or full commit id that this node follows."
    )
    not_before: str = said(
        "",
        "A date (2026-01-31, or with a time; UTC without a zone) before which no revision was committed, or a full "
        "commit id from which the first one that a node takes must descend. For nodes that forget at a reboot.",
    )
    key: AbsolutePath = said(Path("/etc/nodeagent/key.enc"), "The encrypted deploy key.")
    key_credential: CredentialName = said(
        "nodeagent.key",
        "The systemd credential with the deploy key itself, not encrypted. It goes before source.key, and needs no "
        "password.",
    )
    key_iterations: int = Field(
        default=10_000, ge=1, le=MOST_ITERATIONS, description="What was given to openssl enc as -iter."
    )
    key_digest: Literal["sha256", "sha512"] = said("sha256", "What was given to openssl enc as -md.")
    known_hosts: AbsolutePath = said(
        Path("/etc/nodeagent/known_hosts"),
        "The host keys of the git server, as ssh-keyscan prints them; any other is refused.",
    )
    host_keys: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description='More of them, as lines of known_hosts: ["HOST ssh-ed25519 AAAA..."].',
    )
    ca_file: AbsolutePath | None = said(
        None,
        "PEM file of the authorities that may vouch for HTTPS servers, no others; default: the distribution's.",
    )
    proxy: str = said("", "http://HOST:PORT of a proxy for HTTPS; SSH goes past it.")
    beacon: str = said(
        "",
        "http://, https://, file:///PATH or /PATH of a file whose first line is the commit of the ref: asked "
        "in place of the server at most polls, to spare it; messages show the address: no password, no token. "
        "`nodeagent beacon` prints what writes it.",
    )
    beacon_max_age: float = Field(
        default=3600, gt=0, description="Seconds after which the server itself is asked, whatever the beacon says."
    )
    checkout: AbsolutePath = said(Path("/configs"), "Where post.sh finds the repository's files.")
    user: str = said("nodeagent", "The fetch worker runs as this user.")
    connect_timeout: float = Field(default=10, gt=0, le=600, description="Seconds until the server must have answered.")
    timeout: float = Field(default=30, gt=0, le=3600, description="Seconds without a byte from the server.")
    fetch_limit: float = Field(default=600, gt=0, description="Seconds; then the fetch worker is killed.")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        address.parse(value)
        return value

    @field_validator("mirrors")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(value, 1):
            try:
                address.parse(url)
            except ValueError as error:
                raise ValueError(f"number {number}: {error}") from error
        if len(set(value)) < len(value):
            raise ValueError("an address stands there twice")
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str) -> str:
        if value and not (_PROXY.fullmatch(value) and _is_url(value)):
            raise ValueError("http://HOST:PORT is needed, without a user and a password")
        return value

    @field_validator("beacon")
    @classmethod
    def _beacon(cls, value: str) -> str:
        if value and not (_BEACON.fullmatch(value) and (not value.startswith("http") or _is_url(value))):
            raise ValueError(
                "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH (in ASCII), file:///PATH or /PATH is needed, "
                "without a password"
            )
        return value

    @field_validator("host_keys")
    @classmethod
    def _lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not _HOST_KEY.fullmatch(line):
                raise ValueError(f"{line!r}: a line of known_hosts is needed: HOST ssh-ed25519 AAAA...")
        return value

    @field_validator("not_before", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        text = value.isoformat() if isinstance(value, datetime.date) else value
        if isinstance(text, str) and text and not _COMMIT.fullmatch(text):
            try:
                datetime.datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError("a date such as 2026-01-31 or a full commit id is needed") from error
        return text

    @property
    def urls(self) -> tuple[str, ...]:
        """All servers of the repository, in the order in which they are asked."""
        return (self.url, *self.mirrors)

    @property
    def pinned_in(self) -> str:
        """Where the host keys are pinned, for messages."""
        return f"source.host_keys or {self.known_hosts}" if self.host_keys else str(self.known_hosts)

    @property
    def earliest(self) -> int:
        """The date of ``not_before``, in seconds since the epoch; 0 without one."""
        if not self.not_before or self.first_commit:
            return 0
        found = datetime.datetime.fromisoformat(self.not_before)
        return int((found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp())

    @property
    def first_commit(self) -> str:
        """The commit of ``not_before``, or empty."""
        return self.not_before if _COMMIT.fullmatch(self.not_before) else ""

    @field_validator("ref")
    @classmethod
    def _name(cls, value: str) -> str:
        if value.startswith("-") or any(c in value for c in " ~^:?*[\\\x7f") or ".." in value:
            raise ValueError("a branch, a tag or a full commit id is needed, such as main")
        return value


class Signatures(Table):
    """Who may sign what the node takes. With a key named here, unsigned revisions are refused."""

    allowed_signers: AbsolutePath | None = said(
        None, "SSH keys, in the format of ssh-keygen(1), ALLOWED SIGNERS: a file as git verify-commit takes it."
    )
    revoked_signers: AbsolutePath | None = said(
        None, "SSH public keys, one a line, that count no more, whatever allowed_signers says."
    )
    openpgp_keyring: AbsolutePath | None = said(
        None, "OpenPGP keys, as gpg --export writes them; all of them may sign. Needs gpgv."
    )

    @property
    def files(self) -> dict[str, Path]:
        """The files that are configured, by key."""
        named = {name: getattr(self, name) for name in ("allowed_signers", "revoked_signers", "openpgp_keyring")}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def required(self) -> bool:
        return self.allowed_signers is not None or self.openpgp_keyring is not None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.revoked_signers is not None and self.allowed_signers is None:
            raise ValueError("revoked_signers goes with allowed_signers")
        return self
