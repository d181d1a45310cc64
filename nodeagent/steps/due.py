"""Whether a step may run: what the ledger knows and the node is, brought before the policy."""

from collections.abc import Callable
from dataclasses import replace

from nodeagent.evaluate import policy
from nodeagent.evaluate.policy import Action, Facts, Verdict
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Scope, Statement


class Judge:
    """The judge of one evaluation's EXECUTE steps.

    Args:
        source: what the ledger knows of the repository; the evaluation has begun.
        scope: of the evaluation.
        boot: the kernel's boot id.
        retry: failed steps are to be tried again.
        busy: says what runs on the node that must not be disturbed; empty: nothing does. It is asked only when a step
            is due that minds.
    """

    def __init__(self, source: Source, *, scope: Scope, boot: str, retry: bool, busy: Callable[[], str]) -> None:
        self._source = source
        self._scope = scope
        self._boot = boot
        self._retry = retry
        self._busy = busy
        self._renewal = source.renewal()

    def judge(self, statement: Statement, reach: int = 1, *, anew: str = "") -> Verdict:
        """What becomes of the step when it is reached for the ``reach``-th time; ``anew`` as in the policy's facts."""
        attempt = self._source.attempt(statement.key, reach)
        says = statement.annotation
        facts = Facts(
            scope=self._scope,
            boot=self._boot,
            annotation=says,
            attempt=attempt,
            full=self._renewal.full,
            forced=self._renewal.forced,
            renewed_by=self._renewal.trigger,
            changed=self._source.changed_under(says.on, attempt.tick) if says.on and attempt is not None else "",
            anew=anew,
            retry=self._retry,
        )
        verdict = policy.step(facts)
        if verdict.action is not Action.RUN or says.anytime:
            return verdict
        return policy.step(replace(facts, busy=self._busy()))
