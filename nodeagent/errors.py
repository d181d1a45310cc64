"""Every error that nodeagent raises on purpose.

::

    NodeagentError
    ├── TransientError                 try again; nobody needs to act
    │   ├── RemoteUnreachable          no connection, reset, time-out, refused
    │   ├── StoreUnusable              the fetch worker's store is damaged or its disk is full; it is made anew
    │   ├── PasswordCommandFailed      the program that prints the password failed, or took too long
    │   ├── WorkerFailed               a child crashed or was killed at its time limit
    │   ├── NodeUnusable               the node refuses what the agent itself needs: full, read-only, broken
    │   └── ClockNotSynchronised       a signature is not valid at the node's time, which nothing has set yet
    ├── StalledError                   a person must act; trying again would not help
    │   ├── InvalidConfiguration       nodeagent.toml: unknown key, bad value, missing file
    │   ├── PasswordUnavailable        no source gave a password, or it is not private
    │   ├── WrongPassword              the key file does not open with this password
    │   ├── KeyFileInvalid             the key file is missing, damaged or not in openssl's format
    │   ├── InsecureStorage            a secret would have to touch a disk
    │   ├── AuthenticationFailed       the server refused the deploy key
    │   ├── HostKeyUnknown             the server's host is not in known_hosts
    │   ├── HostKeyMismatch            the server shows another key than the pinned one
    │   ├── CertificateInvalid         the HTTPS server's certificate is not trusted, or not its own
    │   ├── RepositoryNotFound         the server has no such repository (or hides it)
    │   ├── RepositoryDamaged          the server sends what is no sound repository
    │   ├── ReferenceNotFound          the repository has no such branch
    │   ├── NonFastForward             the branch was rewritten or went back
    │   ├── RevisionTooOld             it is from before what source.not_before demands
    │   ├── RevisionRejected           the tree breaks a limit or is hostile
    │   ├── SignatureMissing           it is not signed, and [signatures] demands it
    │   ├── SignatureInvalid           its signature is wrong, or of a kind that is not taken
    │   ├── SignerUnknown              it is signed with a key that may not sign
    │   ├── SignerExpired              it is signed with a key that is not valid at the time
    │   ├── SignerRevoked              it is signed with a key that was revoked
    │   ├── PostScriptMissing          the tree has no post.sh
    │   ├── AnnotationInvalid          a comment "# nodeagent:" cannot be followed
    │   ├── FetchUserMissing           the user that fetches does not exist
    │   └── LedgerUnavailable          there is no ledger, or this user may not read it
    │   ├── SandboxUnavailable         this node's kernel refuses what a plan is made in
    │   └── PlanBrokenOff              post.sh did inside what would have harmed the node, and was ended
    └── NotNow                         locked or suspended: exit code 75

Anything else that is raised is a bug and keeps its traceback. ``code`` is stable: it is the ``reason`` of a
condition and may be matched by scripts. A message says what happened, to which thing, and what to do about it; it
never carries a secret.
"""

from typing import ClassVar


class NodeagentError(Exception):
    """Base of all expected errors; ``str(error)`` is one line for the administrator."""

    code: ClassVar[str] = "Error"


class TransientError(NodeagentError):
    """Trying again later may help."""

    code = "Transient"


class RemoteUnreachable(TransientError):
    code = "RemoteUnreachable"


class StoreUnusable(TransientError):
    code = "StoreUnusable"


class PasswordCommandFailed(TransientError):
    code = "PasswordCommandFailed"


class WorkerFailed(TransientError):
    code = "WorkerFailed"


class NodeUnusable(TransientError):
    code = "NodeUnusable"


class ClockNotSynchronised(TransientError):
    code = "ClockNotSynchronised"


class StalledError(NodeagentError):
    """Nothing changes until somebody acts."""

    code = "Stalled"


class InvalidConfiguration(StalledError):
    code = "InvalidConfiguration"


class PasswordUnavailable(StalledError):
    code = "PasswordUnavailable"


class WrongPassword(StalledError):
    code = "WrongPassword"


class KeyFileInvalid(StalledError):
    code = "KeyFileInvalid"


class InsecureStorage(StalledError):
    code = "InsecureStorage"


class AuthenticationFailed(StalledError):
    code = "AuthenticationFailed"


class HostKeyUnknown(StalledError):
    code = "HostKeyUnknown"


class HostKeyMismatch(StalledError):
    code = "HostKeyMismatch"


class CertificateInvalid(StalledError):
    code = "CertificateInvalid"


class RepositoryNotFound(StalledError):
    code = "RepositoryNotFound"


class RepositoryDamaged(StalledError):
    code = "RepositoryDamaged"


class ReferenceNotFound(StalledError):
    code = "ReferenceNotFound"


class NonFastForward(StalledError):
    code = "NonFastForward"


class RevisionTooOld(StalledError):
    code = "RevisionTooOld"


class RevisionRejected(StalledError):
    code = "RevisionRejected"


class SignatureMissing(StalledError):
    code = "SignatureMissing"


class SignatureInvalid(StalledError):
    code = "SignatureInvalid"


class SignerUnknown(StalledError):
    code = "SignerUnknown"


class SignerExpired(StalledError):
    code = "SignerExpired"


class SignerRevoked(StalledError):
    code = "SignerRevoked"


class PostScriptMissing(StalledError):
    code = "PostScriptMissing"


class AnnotationInvalid(StalledError):
    code = "AnnotationInvalid"


class FetchUserMissing(StalledError):
    code = "FetchUserMissing"


class LedgerUnavailable(StalledError):
    code = "LedgerUnavailable"


class SandboxUnavailable(StalledError):
    code = "SandboxUnavailable"


class PlanBrokenOff(StalledError):
    code = "PlanBrokenOff"


class NotNow(NodeagentError):
    """Another agent holds the lock, or the node is suspended."""

    code = "NotNow"


def by_code(code: str, message: str) -> NodeagentError:
    """Rebuild an error that crossed a process border as (code, message).

    Returns:
        An instance of the class with that code; a plain :class:`WorkerFailed` when the code is unknown.
    """
    pending: list[type[NodeagentError]] = [NodeagentError]
    while pending:
        candidate = pending.pop()
        if candidate.code == code:
            return candidate(message)
        pending.extend(candidate.__subclasses__())
    return WorkerFailed(f"{code}: {message}")
