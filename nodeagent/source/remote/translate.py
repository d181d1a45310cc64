"""What libgit2 says of a failure, and what that means for the node.

libgit2 tells little apart by itself: nearly all failures are one exception with a class (``git_error_t``) and a
message, in which the server's own words may stand.
"""

from dataclasses import dataclass

from nodeagent.errors import (
    AuthenticationFailed,
    KeyFileInvalid,
    NodeagentError,
    RemoteUnreachable,
    RepositoryNotFound,
    StoreUnusable,
)
from nodeagent.source.foreign import one_line
from nodeagent.source.libgit2 import LIBGIT2, pygit2

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
_CUT_OFF = ("early eof", "incomplete pack header", "missing trailer", "unexpected data at the end")
_FROM_THE_NETWORK = (LIBGIT2.GIT_ERROR_NET, LIBGIT2.GIT_ERROR_SSH, LIBGIT2.GIT_ERROR_SSL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What a failure means. ``text`` is one line, that the repository's address is to be put before.

    ``no_common_key``: the server and this node agree on no type of host key, or on no key exchange.
    """

    error: type[NodeagentError]
    text: str
    no_common_key: bool = False


def failure(error: pygit2.GitError, *, storing: bool) -> Failed:
    """What an error means, right after it was raised: libgit2 forgets its class. ``storing``: a fetch was under way."""
    kind = int(LIBGIT2.git_error_last().klass)
    message = one_line(str(error).strip())
    lower = message.lower()
    if isinstance(error, pygit2.AuthError) and not any(text in lower for text in _LOST):
        return Failed(error=AuthenticationFailed, text=message)
    if "private key" in lower or "public key" in lower:
        text = f"the deploy key in the key file cannot be used: {message}: make a new one with nodeagent key generate"
        return Failed(error=KeyFileInvalid, text=text)
    if any(text in lower for text in _NO_REPOSITORY):
        text = f"the server has no such repository, or hides it from this key: {message}"
        return Failed(error=RepositoryNotFound, text=f"{text}: correct source.url, or give the key access")
    if storing and kind not in _FROM_THE_NETWORK and not any(text in lower for text in _CUT_OFF):
        return Failed(error=StoreUnusable, text=f"what was fetched cannot be stored: {message}")
    return Failed(
        error=RemoteUnreachable,
        text=f"{message}: is tried again by itself; is the server up, and reachable from here?",
        no_common_key="Unable to exchange encryption keys" in message,
    )
