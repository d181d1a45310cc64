"""Look whether a node could fetch: step by step, without changing anything.

One connection tells it all, because the errors come in a fixed order: who is refused for the deploy key was let in by
the host key before.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nodeagent.config import Config
from nodeagent.errors import (
    AuthenticationFailed,
    CertificateInvalid,
    ClockNotSynchronised,
    HostKeyMismatch,
    HostKeyUnknown,
    InvalidConfiguration,
    KeyFileInvalid,
    NodeagentError,
    PasswordUnavailable,
    ReferenceNotFound,
    RepositoryNotFound,
    SignatureInvalid,
    SignatureMissing,
    SignerExpired,
    SignerRevoked,
    SignerUnknown,
)
from nodeagent.model.address import Https, Local, Ssh, parse
from nodeagent.model.outcomes import Failure
from nodeagent.source import bounds, libgit2, reach
from nodeagent.source.checkout import tree
from nodeagent.source.checkout.checkout import Checkout
from nodeagent.source.checkout.handover import receive
from nodeagent.source.checkout.sending import export
from nodeagent.source.confine import account, confine
from nodeagent.source.remote import access
from nodeagent.source.secrets import deploy_key
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.password import read_password
from nodeagent.source.secrets.unlock import unencrypted
from nodeagent.source.store import git
from nodeagent.workers.stream import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look found. ``code`` is an error's, or empty when all is well; ``message`` one line."""

    check: str
    code: str
    message: str

    @property
    def ok(self) -> bool:
        return not self.code


# What a server is asked for, in the order in which it fails, each with the errors that mean this step.
_Step = tuple[str, frozenset[str], str]
_ANSWERS: _Step = ("server", frozenset(), "it answers")
_HAS: Sequence[_Step] = (
    ("repository", frozenset({RepositoryNotFound.code}), "it is there"),
    ("branch", frozenset({ReferenceNotFound.code}), "it is there"),
)
_SSH: Sequence[_Step] = (
    _ANSWERS,
    ("host key", frozenset({HostKeyUnknown.code, HostKeyMismatch.code}), "the server shows a pinned key"),
    ("deploy key", frozenset({AuthenticationFailed.code, KeyFileInvalid.code}), "the server accepts it"),
    *_HAS,
)
_HTTPS: Sequence[_Step] = (
    _ANSWERS,
    ("certificate", frozenset({CertificateInvalid.code}), "an authority that is trusted vouches for the server"),
    ("login", frozenset({AuthenticationFailed.code, PasswordUnavailable.code}), "the server lets this node in"),
    *_HAS,
)

# What a node refuses a revision with that is not signed by who may, as far as it can tell.
OF_SIGNATURES = frozenset(
    error.code
    for error in (
        ClockNotSynchronised,
        InvalidConfiguration,  # of who may
        SignatureInvalid,
        SignatureMissing,
        SignerExpired,
        SignerRevoked,
        SignerUnknown,
    )
)


def open_key(config: Config, credentials: Path | None, given: Secret | None) -> tuple[bytes, Finding]:
    """Open the key file with the password that is given, else as a node does; the key is empty on a failure.

    Nothing is kept. ``credentials`` is what systemd put into ``$CREDENTIALS_DIRECTORY``.
    """
    try:
        key = unencrypted(config, credentials) if given is None else None
        if key is not None:
            message = f"is not needed: the credential {config.source.key_credential} is the deploy key"
            return key, Finding(check="password", code="", message=message)
        with given if given is not None else read_password(config.password, credentials) as secret:
            key = deploy_key.open_file(config.source, secret.view)
    except NodeagentError as error:
        return b"", Finding(check="password", code=error.code, message=str(error))
    return key, Finding(check="password", code="", message=f"it opens {config.source.key}")


def prepare(config: Config, home: Path, *, confined: bool) -> None:
    """Fill a home directory that the fetch user may enter with the pinned keys, and with room for what it fetches.

    Raises:
        InvalidConfiguration: the known_hosts cannot be read.
        FetchUserMissing: ``confined``, and there is no such user.
    """
    home.chmod(0o755)
    access.prepare(config, home)
    _store(home).parent.mkdir(mode=0o700)
    if confined:
        user = account(config.source.user)
        os.chown(_store(home).parent, user.pw_uid, user.pw_gid)


def fetch(config: Config, url: str, key: bytes, credentials: Path | None, home: Path, *, confined: bool) -> str:
    """Ask a server for the branch's commit (hex), and fetch it; in a forked child.

    ``home`` was prepared by :func:`prepare`; ``credentials`` is what systemd put into ``$CREDENTIALS_DIRECTORY``.

    Raises:
        NodeagentError: what is wrong.
    """
    way = access.with_key(config, key, credentials)
    if confined:
        bounds.bound(config.limits)
        confine(config.source.user, reach.fetching(config, store=_store(home), home=home))
    libgit2.configure(home, config.source.connect_timeout, config.source.timeout)
    store = git.Store.open(_store(home))
    remote = store.remote(url, way)
    target = remote.find(config.source.ref)
    if not store.has(target.commit):
        remote.fetch(target, whole=False)
    if config.signatures.required:
        store.remember_tag(config.source.ref, target.tag)
    return target.commit


def check_out(config: Config, commit: str, home: Path, tell: Callable[[str], None], *, confined: bool) -> Path:
    """Take over what :func:`fetch` fetched, as a node does; the directory that holds it then.

    ``tell`` is told who signed it, where that is demanded.

    Raises:
        NodeagentError: a node would refuse it.
    """
    approve = None
    if config.signatures.required:
        from nodeagent.source.trust.signers import Signers  # noqa: PLC0415 - few demand signatures

        approve = Signers.load(config).approval(config.source.ref, commit, tell)
    tagged = config.source.ref if approve else ""

    def send(out: BinaryIO) -> None:
        if confined:
            bounds.bound(config.limits)
            confine(config.source.user, reach.exporting(store=_store(home)))
        export(_store(home), commit, {}, out, tagged=tagged)

    checkout = Checkout(home / "checkout", home / "state")
    with (
        checkout.staging() as staging,
        stream(send, time_limit=config.source.fetch_limit) as received,
    ):
        manifest = receive(received, commit, config.limits, staging, {}, approve=approve)
        tree.demand_contents(manifest, config.ignore)
        checkout.install(manifest, staging)
    return checkout.path


def _store(home: Path) -> Path:
    return home / "fetch" / "store.git"


def findings(config: Config, answer: str | Failure) -> Sequence[Finding]:
    """One finding for each step, up to the first that failed, from what :func:`fetch` gave or raised."""
    steps = _steps(config.source.url)
    failure = answer if isinstance(answer, Failure) else None
    found: list[Finding] = []
    if failure is not None and not any(failure.code in codes for _, codes, _ in steps):
        return [Finding(check="server", code=failure.code, message=failure.message)]
    for check, codes, fine in steps:
        if failure is not None and failure.code in codes:
            return [*found, Finding(check=check, code=failure.code, message=failure.message)]
        found.append(Finding(check=check, code="", message=fine))
    found[-1] = Finding(check="branch", code="", message=f"{config.source.ref} is at {answer}")
    return found


def mirror(config: Config, url: str, answer: str | Failure) -> Finding:
    """What one of the mirrors gave, or raised."""
    if isinstance(answer, Failure):
        return Finding(check="mirror", code=answer.code, message=f"{url}: {answer.message.removeprefix(f'{url}: ')}")
    return Finding(check="mirror", code="", message=f"{url}: {config.source.ref} is at {answer}")


def _steps(url: str) -> Sequence[_Step]:
    match parse(url):
        case Ssh():
            return _SSH
        case Https(secure=secure):
            return _HTTPS if secure else [step for step in _HTTPS if step[0] != "certificate"]
        case Local():
            return _HAS
