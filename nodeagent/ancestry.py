"""What the next revision must descend from: the ledger knows, the source asks."""

import json

from nodeagent.config import Config
from nodeagent.errors import LedgerUnavailable
from nodeagent.ledger import accepted, database, statements
from nodeagent.ledger.sources import Source
from nodeagent.source.remote import refs
from nodeagent.source.trust.history import Standing


def standing(config: Config, known: str, note: bytes = b"") -> Standing:
    """By the ledger as it is now; nothing is locked. Without one, ``known`` (a commit, or empty) is what counts.

    ``note`` is what :func:`noted` made of the ledger, if nobody has written to it since: to open it takes as long as
    all else that a poll does on the node.
    """
    if refs.is_commit(config.source.ref):
        return Standing()  # who names a commit has decided
    if note:
        url, commits, authored = json.loads(note)
        if url == config.source.url:
            return Standing(commits=tuple(commits), authored=authored, earliest=config.source.earliest)
    found = begin(config)
    try:
        with database.readable(config.paths.state) as connection:
            source = Source(connection, config.source.url)
            state = source.state()
            if state is not None:
                found = since(config, connection, source, state.commit)
    except LedgerUnavailable:
        pass  # the apply worker sees to it, and asks again by the checkout
    if known and (found.configured or not found.commits):
        return Standing(commits=(known,), earliest=config.source.earliest)
    return found


def begin(config: Config) -> Standing:
    """For a node that stands nowhere, or has forgotten where."""
    first = config.source.first_commit
    return Standing(commits=(first,) if first else (), configured=bool(first), earliest=config.source.earliest)


def since(config: Config, connection: database.Connection, source: Source, commit: str) -> Standing:
    """For a node that stands at the commit (empty: at none)."""
    if not commit:
        return begin(config)
    instead = accepted.waiting(connection, source.id) if source.state() is not None else ""
    origin = statements.commit_of(connection, commit)
    return Standing(
        commits=(commit, instead) if instead else (commit,),
        authored=origin.authored if origin is not None else 0,
        earliest=config.source.earliest,
    )


def noted(config: Config, connection: database.Connection, source: Source) -> bytes:
    """What :func:`standing` would read in the ledger; empty for a node that stands nowhere."""
    state = source.state()
    if state is None or not state.commit:
        return b""
    found = since(config, connection, source, state.commit)
    return json.dumps([source.name, found.commits, found.authored]).encode()
