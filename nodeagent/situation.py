"""How things stand when a cycle begins, and what is asked for: brought before the policy."""

from dataclasses import dataclass, replace

from nodeagent import node
from nodeagent.config import FirstStart
from nodeagent.evaluate import policy
from nodeagent.ledger import database, undo
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a command line asks for beyond what is due.

    ``anytime``: run what is due beside a job, too.
    ``run_steps``: see :class:`nodeagent.evaluation.Job`. ``descendant``: a commit must descend from the one before.
    """

    requested: bool = False
    force: bool = False
    retry: bool = False
    adopt: bool = False
    run_steps: bool = True
    descendant: bool = True
    anytime: bool = False


def situation(
    source: Source,
    revision: Revision,
    *,
    drifted: int,
    wishes: Wishes,
    first_start: FirstStart,
    damaged: bool = False,
) -> policy.Situation:
    """What the policy is to know; ``drifted`` is the number of destinations that are to be repaired."""
    state = source.state()
    past = None
    if state is not None:
        past = policy.Past(
            tree=state.tree,
            commit=state.commit,
            boot=state.boot,
            finished=state.finished,
            adopting=state.adopting,
        )
    return policy.Situation(
        past=past,
        tree=revision.tree,
        commit=revision.commit,
        boot=node.boot_id(),
        uptime=node.uptime(),
        drifted=drifted,
        retries=state is not None and state.retries,
        damaged=damaged,
        first_start=first_start,
        requested=wishes.requested,
        force=wishes.force,
        retry=wishes.retry,
        adopt=wishes.adopt,
    )


def of_withdrawn(connection: database.Connection, source: Source, wishes: Wishes) -> Wishes:
    """After everything of a source was undone, whatever is asked for is a beginning: every step is due."""
    if source.state() is None or not undo.is_withdrawn(connection, source.id) or wishes == Wishes():
        return wishes
    return replace(wishes, force=not wishes.adopt)
