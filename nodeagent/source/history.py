"""How a revision stands to the ones before it, and what is said when it does not follow from them. No I/O."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.errors import NonFastForward
from nodeagent.source.foreign import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the next revision must be or descend from, one of them: first the commit at which the node stands, then
    what a person has accepted instead. Empty: anything may come. ``authored`` is the first one's date; 0: not known.
    """

    commits: Sequence[str] = ()
    authored: int = 0


ANYTHING = Standing()


def refusal(what: str, commit: str, authored: int, standing: Standing) -> NonFastForward:
    """The error of a commit that descends from none of them."""
    return NonFastForward(
        f"{one_line(what)} was rewritten or went back: {_dated(commit, authored)} does not descend from "
        f"{_dated(standing.commits[0], standing.authored)}, at which this node stands and stays: restore it on the "
        f"server, or accept it: nodeagent accept {commit} --reason TEXT"
    )


def _dated(commit: str, authored: int) -> str:
    if not authored:
        return commit
    return f"{commit} of {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(authored))}"
