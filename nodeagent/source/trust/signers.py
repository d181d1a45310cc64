"""Is a revision signed by somebody who may? Judged as root, of a commit whose id was proven; git's own rules hold."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nodeagent.config import Config
from nodeagent.errors import (
    InvalidConfiguration,
    RevisionRejected,
    SignatureInvalid,
    SignatureMissing,
    SignerExpired,
    SignerRevoked,
    SignerUnknown,
)
from nodeagent.source.foreign import one_line
from nodeagent.source.trust import allowed_signers, clock, gpgv, openpgp, signed, ssh_signature
from nodeagent.source.trust.allowed_signers import FileError, Signer
from nodeagent.source.trust.signature import Approval, Signature
from nodeagent.source.trust.signed import Signed
from nodeagent.source.trust.ssh_key import PublicKey, UnsoundError

T = TypeVar("T")

_LONGEST_FILE = 16 * 2**20  # bytes
_ARMORED = b"-----BEGIN PGP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """Who may sign: None, where keys of that family count for nothing."""

    allowed: Sequence[Signer] | None
    revoked: Collection[PublicKey]
    keyring: bytes | None
    user: str  # that verifies OpenPGP signatures

    @classmethod
    def load(cls, config: Config) -> "Signers":
        """Read the files that ``[signatures]`` names.

        Raises:
            InvalidConfiguration: one cannot be read or followed, or a program is missing.
        """
        files = config.signatures
        allowed, revoked, keyring = None, frozenset[PublicKey](), None
        if files.allowed_signers is not None:
            allowed = _read("allowed_signers", files.allowed_signers, allowed_signers.parse)
        if files.revoked_signers is not None:
            revoked = _read("revoked_signers", files.revoked_signers, allowed_signers.parse_revoked)
        if files.openpgp_keyring is not None:
            keyring = _read("openpgp_keyring", files.openpgp_keyring, _keyring)
            gpgv.program()
        return cls(allowed=allowed, revoked=revoked, keyring=keyring, user=config.source.user)

    def approval(self, ref: str, commit: str, tell: Callable[[str], None]) -> Approval:
        """What judges a revision while it is handed over, and tells who signed it."""

        def approve(content: bytes, tag: bytes) -> None:
            found = self.judge(ref, commit, content, tag)
            tell(f"{f'tag {one_line(ref)} of ' if tag else ''}commit {commit} is signed by {found}")

        return approve

    def judge(self, ref: str, commit: str, content: bytes, tag: bytes) -> Signature:
        """Who signed the revision.

        Args:
            ref: what the node follows, as it is configured.
            commit: the commit's id (hex).
            content: the commit, which has that id.
            tag: the annotated tag by which the ref stands for the commit; empty without one.

        Raises:
            StalledError: it is not signed, not rightly, or by nobody who may.
            ClockNotSynchronised: only the time speaks against it, and the node does not know it.
            MalformedError: it is not what git writes.
        """
        if not tag:
            return self._verify(signed.of_commit(content), f"commit {commit}", "git commit -S")
        shown = f"tag {one_line(ref)} of commit {commit}"
        parts = signed.of_tag(tag)
        found = self._verify(parts, shown, "git tag -s")
        stands = signed.tag_of(parts.payload)
        if (stands.kind, stands.oid) != ("commit", commit):
            raise RevisionRejected(f"{shown}: it is a tag of {stands.kind} {stands.oid}: tag the commit itself")
        if stands.name != ref.removeprefix("refs/tags/").encode():
            raise RevisionRejected(
                f"{shown}: it was signed as {one_line(stands.name)}: does somebody pass one tag off as another? Make "
                "it anew under its name"
            )
        return found

    def _verify(self, parts: Signed, shown: str, how: str) -> Signature:
        if not parts.signature:
            raise SignatureMissing(
                f"{shown} is not signed, and only signed revisions are taken here ([signatures] in the configuration): "
                f"sign what you push, with {how}"
            )
        if parts.signature.startswith(ssh_signature.BEGIN):
            return self._verify_ssh(parts, shown)
        if parts.signature.startswith(openpgp.BEGIN):
            return self._verify_openpgp(parts, shown)
        raise SignatureInvalid(f"{shown}: its signature is neither of an SSH nor of an OpenPGP key: sign it with one")

    def _verify_ssh(self, parts: Signed, shown: str) -> Signature:
        try:
            key = ssh_signature.verify(parts.signature, parts.payload)
        except UnsoundError as error:
            raise SignatureInvalid(f"{shown}: its SSH signature {error}: sign it anew") from error
        name = f"the SSH key {key.fingerprint}"
        if key in self.revoked:
            raise SignerRevoked(
                f"{shown}: signed with {name}, which signatures.revoked_signers names: sign it with another"
            )
        lines = [
            line for line in self.allowed or () if line.key == key and line.may_sign(ssh_signature.NAMESPACE.decode())
        ]
        if not lines:
            raise SignerUnknown(
                f"{shown}: signed with {name}, which signatures.allowed_signers does not allow to sign for git: add it "
                "there, or sign with a key that is"
            )
        line = next((line for line in lines if line.holds(parts.dated)), None)
        if line is None:
            raise SignerExpired(
                f"{shown}: signed with {name} of {one_line(lines[0].principal)}, which was not valid at the "
                "revision's date (valid-after, valid-before in signatures.allowed_signers): sign it with another"
            )
        return Signature(signer=one_line(line.principal), kind=key.kind, fingerprint=key.fingerprint)

    def _verify_openpgp(self, parts: Signed, shown: str) -> Signature:
        if self.keyring is None:
            raise SignerUnknown(f"{shown}: signed with an OpenPGP key, and signatures.openpgp_keyring names no keyring")
        said = gpgv.statuses(self.keyring, parts.signature, parts.payload, self.user)
        return openpgp.judge(said, shown, clock=clock.is_synchronised())


def _keyring(data: bytes) -> bytes:
    if data.startswith(_ARMORED):
        raise FileError("it is armored text: gpg --dearmor makes a keyring of it")
    if not data:
        raise FileError("it is empty")
    return data


def _read(name: str, path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise InvalidConfiguration(f"signatures.{name}: {path}: cannot be read: {error.strerror}") from error
    if len(data) > _LONGEST_FILE:
        raise InvalidConfiguration(f"signatures.{name}: {path}: has more than {_LONGEST_FILE} bytes")
    try:
        return parse(data)
    except FileError as error:
        raise InvalidConfiguration(f"signatures.{name}: {path}: {error}") from error
