"""How a revision stands to the ones before it, and what is said when it does not follow from them. No I/O."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.errors import NonFastForward, RevisionTooOld, StalledError
from nodeagent.source.foreign import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the next revision must be or descend from, one of them: first the commit at which the node stands, then
    what a person has accepted instead. Empty: anything may come. ``authored`` is the first one's date; 0: not known.
    """

    commits: Sequence[str] = ()
    authored: int = 0
    configured: bool = False  # the node stands nowhere; the commit is the configuration's
    earliest: int = 0  # when the next revision may have been committed at the earliest, in seconds since the epoch


ANYTHING = Standing()


def demand_young(commit: str, committed: int, standing: Standing) -> None:
    """Refuse a commit from before the date that is configured.

    Raises:
        RevisionTooOld: it is older.
    """
    if committed < standing.earliest:
        raise RevisionTooOld(
            f"{_dated(commit, committed)} was committed before {_date(standing.earliest)}, which source.not_before "
            "demands: is the server's copy an old one? If it is meant, push a new commit, or set another date"
        )


def refusal(what: str, commit: str, authored: int, standing: Standing) -> StalledError:
    """The error of a commit that descends from none of them."""
    if standing.configured:
        return RevisionTooOld(
            f"{one_line(what)} is at {_dated(commit, authored)}, which does not descend from {standing.commits[0]}, as "
            "source.not_before demands: is the server's copy an old one? If it is meant, name another commit there"
        )
    return NonFastForward(
        f"{one_line(what)} was rewritten or went back: {_dated(commit, authored)} does not descend from "
        f"{_dated(standing.commits[0], standing.authored)}, at which this node stands and stays: restore it on the "
        f"server, or accept it: nodeagent accept {commit} --reason TEXT"
    )


def _dated(commit: str, authored: int) -> str:
    if not authored:
        return commit
    return f"{commit} of {_date(authored)}"


def _date(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
