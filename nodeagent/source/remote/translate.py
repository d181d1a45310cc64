"""What libgit2 says of a failure, and what that means for the node: :data:`CAUSES`.

libgit2 tells little apart by itself: nearly all failures are one exception with a class (``git_error_t``) and a message
in which libssh2's, the kernel's or the server's own words may stand. ``docs/source.md`` has the same table for people.
"""

import enum
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.errors import (
    AuthenticationFailed,
    KeyFileInvalid,
    NodeagentError,
    RemoteUnreachable,
    RepositoryDamaged,
    RepositoryNotFound,
    RevisionRejected,
    StoreUnusable,
)
from nodeagent.source.foreign import one_line
from nodeagent.source.libgit2 import LIBGIT2, pygit2

_LOCAL = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENOENT", "ENOTDIR", "EMFILE", "ENFILE")
_DATA = (
    LIBGIT2.GIT_ERROR_INDEXER,
    LIBGIT2.GIT_ERROR_ZLIB,
    LIBGIT2.GIT_ERROR_ODB,
    LIBGIT2.GIT_ERROR_OBJECT,
    LIBGIT2.GIT_ERROR_SHA,
    LIBGIT2.GIT_ERROR_REFERENCE,  # to an object that did not come
    LIBGIT2.GIT_ERROR_INVALID,  # a delta that does not fit
)
_REMOTE = ("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EADDRNOTAVAIL")


def _texts(*names: str) -> tuple[str, ...]:
    """What the kernel's errors are called in messages."""
    return tuple(os.strerror(getattr(errno, name)).lower() for name in names)


class Stage(enum.Enum):
    """What was being done."""

    ASKING = enum.auto()
    FILLING = enum.auto()  # a fetch into an empty store
    ADDING = enum.auto()  # a fetch into one that holds something


_FETCHING = (Stage.FILLING, Stage.ADDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A way to fail: the first one that fits a failure is the failure's.

    It fits at one of its ``stages`` if one of ``texts`` stands in the message, in lower case, or ``classes`` hold the
    failure's. What is empty fits all. ``what`` and ``mend`` are told to people, and stand in ``docs/source.md``.
    """

    what: str
    error: type[NodeagentError]
    mend: str
    texts: Sequence[str] = ()
    classes: Sequence[int] = ()
    stages: Sequence[Stage] = tuple(Stage)

    def fits(self, message: str, kind: int, stage: Stage) -> bool:
        told = not (self.texts or self.classes) or kind in self.classes or any(text in message for text in self.texts)
        return told and stage in self.stages


CAUSES: Sequence[Cause] = (
    Cause(
        what="the deploy key in the key file cannot be used",
        error=KeyFileInvalid,
        mend="make a new one with `nodeagent key generate`",
        texts=("private key", "public key"),
    ),
    Cause(
        what="the server has no such repository, or hides it from this key",
        error=RepositoryNotFound,
        mend="correct `source.url`, or give the key access",
        texts=(
            "does not appear to be a git repository",  # git itself
            "repository not found",  # GitHub, Bitbucket
            "could not be found",  # GitLab
            "cannot find repository",  # Gitea, Forgejo
            "no such repository",
            "invalid gitfile format",
            "not a git repository",
            "dubious ownership",
            "access denied",  # gitolite
            "http status code: 404",
            "http status code: 410",
        ),
    ),
    Cause(
        what="the server finds no git",
        error=RepositoryNotFound,
        mend="install git there, on the PATH of the account that `source.url` names",
        texts=("upload-pack: not found", "upload-pack: command not found", "upload-pack: no such file"),
    ),
    Cause(
        what="the server refuses access",
        error=AuthenticationFailed,
        mend="add the public half of the deploy key on the server, or correct the user in `source.url`",
        texts=("http status code: 401", "http status code: 403", "authentication required"),
    ),
    Cause(
        what="the server sends the node elsewhere",
        error=RemoteUnreachable,
        mend="set `source.url` to where the repository is: no redirect to another host, or to a page, is followed",
        texts=("redirect",),
    ),
    Cause(
        what="the connection ended during the login",
        error=RemoteUnreachable,
        mend="if it stays so, the server's log says why (`MaxAuthTries`, a locked account)",
        # A key that is refused shows otherwise: libgit2 asks for another one.
        texts=("remote rejected authentication", "failed to authenticate ssh session"),
    ),
    Cause(
        what="the host's name cannot be resolved",
        error=RemoteUnreachable,
        mend="correct `source.url`, or mend the node's DNS",
        texts=("failed to resolve address",),
    ),
    Cause(
        what="the server cannot be reached",
        error=RemoteUnreachable,
        mend="is it up, and its port open to this node?",
        texts=_texts(*_REMOTE),
    ),
    Cause(
        what="the server does not answer in time",
        error=RemoteUnreachable,
        mend="is it overloaded, or a firewall between? Slow links need a longer `source.timeout`",
        texts=("timed out", "timeout", "would block"),
    ),
    Cause(
        what="the server ends the connection at once",
        error=RemoteUnreachable,
        mend="too many nodes ask at a time (`MaxStartups` of sshd), or no SSH server listens there",
        texts=("failed getting banner",),
    ),
    Cause(
        what="the server has trouble of its own",
        error=RemoteUnreachable,
        mend="look into its log",
        texts=("http status code:",),
    ),
    Cause(
        what="the answer is not git's",
        error=RemoteUnreachable,
        mend="does the account's shell print something, or a proxy answer with a page?",
        texts=("bad packet length", "invalid content-type", "pkt-line", "unexpected pkt"),
    ),
    Cause(
        what="the connection broke off in the middle",
        error=RemoteUnreachable,
        mend="if it stays so, look into the server's log",
        texts=("early eof", "incomplete pack header", "missing trailer", "unexpected data at the end", "eof state"),
    ),
    Cause(
        what="what the server sends takes more room than `[limits]` allows",
        error=RevisionRejected,
        mend="raise `limits.file_bytes` (memory) or `limits.total_bytes` (disk) if it is meant",
        texts=_texts("EFBIG"),
        classes=(LIBGIT2.GIT_ERROR_NOMEMORY,),
    ),
    Cause(
        what="what was fetched cannot be stored",
        error=StoreUnusable,
        mend="make room for `paths.cache`, and let it belong to the fetch user",
        texts=_texts(*_LOCAL),
        stages=_FETCHING,
    ),
    Cause(
        what="what the server sends is damaged",
        error=RepositoryDamaged,
        mend="run `git fsck` in the server's repository",
        classes=_DATA,
        stages=(Stage.FILLING,),
    ),
    Cause(
        what="what was fetched does not fit what is there",
        error=StoreUnusable,
        mend="nothing: all of it is fetched anew",
        classes=_DATA,
        stages=(Stage.ADDING,),
    ),
    Cause(
        what="the fetch failed",
        error=RemoteUnreachable,
        mend="is the server up, and reachable from here?",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What a failure means. ``text`` is one line, that the repository's address is to be put before.

    ``no_common_key``: the server and this node agree on no type of host key, or on no key exchange.
    """

    error: type[NodeagentError]
    text: str
    no_common_key: bool = False


def failure(error: pygit2.GitError, stage: Stage) -> Failed:
    """What an error means, right after it was raised: libgit2 forgets its class."""
    kind = int(LIBGIT2.git_error_last().klass)
    message = one_line(str(error).strip())
    cause = next(cause for cause in CAUSES if cause.fits(message.lower(), kind, stage))
    return Failed(
        error=cause.error,
        text=f"{cause.what}: {message}: {cause.mend}".replace("`", ""),
        no_common_key="Unable to exchange encryption keys" in message,
    )
