"""What the next revision must descend from: the ledger knows, the source asks."""

from nodeagent.config import Config
from nodeagent.errors import LedgerUnavailable
from nodeagent.ledger import accepted, database, statements
from nodeagent.ledger.sources import Source
from nodeagent.source import refs
from nodeagent.source.history import Standing


def standing(config: Config, known: str) -> Standing:
    """By the ledger as it is now; nothing is locked. Without one, ``known`` (a commit, or empty) is what counts."""
    if refs.is_commit(config.source.ref):
        return Standing()  # who names a commit has decided
    found = Standing()
    try:
        with database.readable(config.paths.state) as connection:
            source = Source(connection, config.source.url)
            state = source.state()
            if state is not None:
                found = since(connection, source, state.commit)
    except LedgerUnavailable:
        pass  # the apply worker sees to it, and asks again by the checkout
    return found if found.commits or not known else Standing(commits=(known,))


def since(connection: database.Connection, source: Source, commit: str) -> Standing:
    """For a node that stands at the commit (empty: at none)."""
    if not commit:
        return Standing()
    instead = accepted.waiting(connection, source.id) if source.state() is not None else ""
    origin = statements.commit_of(connection, commit)
    return Standing(
        commits=(commit, instead) if instead else (commit,), authored=origin.authored if origin is not None else 0
    )
