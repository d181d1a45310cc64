"""The gate before each EXECUTE step: whether it runs, what its statement returns where it does not, how it came out."""

from nodeagent.evaluate.policy import Action, Verdict
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Attempt, Change, Statement
from nodeagent.steps.account import Account
from nodeagent.steps.frame import Frame
from nodeagent.steps.units import Units

ENDS = 256
"""Is added to the status of a step in which post.sh ended: so it does where the step is skipped."""
CUT_OFF = 2 * ENDS
"""... in which a time limit ended post.sh: what stands below is not reached then either."""


class Gate:
    """Of one evaluation; ``boot`` is the kernel's boot id.

    ``deferred`` has one line for each step that waits, ``file:line command: why``. ``cut_off``: post.sh was told to end
    where a time limit had ended it before.
    """

    def __init__(self, source: Source, units: Units, account: Account, *, evaluation: int, boot: str) -> None:
        self._source = source
        self._units = units
        self._account = account
        self._evaluation = evaluation
        self._boot = boot
        self.deferred: list[str] = []
        self.cut_off = False

    def verdict(self, statement: Statement, reach: int = 1) -> Verdict:
        """What becomes of the step when it is reached for the ``reach``-th time."""
        return self._units.judge(statement, reach)

    def frame(self, statement: Statement, reach: int, verdict: Verdict) -> Frame:
        """The step begins."""
        before = self._source.attempt(statement.key, reach) if verdict.again else None
        return Frame(
            statement=statement,
            reach=reach,
            number=self._account.next_number(),
            command=statement.text,
            reason=verdict.reason,
            limit=statement.annotation.timeout,
            tries=before.tries + 1 if before is not None else 1,
            tick=self._source.tick(),
        )

    def leave_out(self, statement: Statement, reach: int, verdict: Verdict) -> int:
        """The step does not begin; gives what its statement returns, or :data:`ENDS` more."""
        if verdict.action is Action.DEFER:
            news = self._source.defer(statement.key, reach, self._evaluation)
            self.deferred.append(f"{label(statement)}: {verdict.reason}")
            self._account.left_out(statement, Change.DEFERRED, verdict.reason, news=news)
            return 0
        if verdict.action is Action.ADOPT:
            frame = Frame(statement=statement, reach=reach, tick=self._source.tick())
            self.record(frame, exit_status=0, statement_status=0)
        self._account.left_out(statement, Change.SKIPPED, verdict.reason)
        if verdict.status < CUT_OFF:
            return verdict.status
        self.cut_off = True
        return verdict.status - CUT_OFF + ENDS

    def record(self, frame: Frame, *, exit_status: int, statement_status: int) -> None:
        """The step has come to its end."""
        statement = frame.statement
        assert statement is not None
        attempt = Attempt(
            succeeded=exit_status == 0,
            exit_status=exit_status,
            statement_status=statement_status,
            evaluation=self._evaluation,
            boot=self._boot,
            tries=frame.tries,
            tick=frame.tick,
        )
        retries = statement.annotation.retry
        self._source.record(statement.key, frame.reach, attempt, label=label(statement), retries=retries)
        self._units.ended(statement.key, frame.reach)


def label(statement: Statement) -> str:
    """As reports name a step: ``file:line command``."""
    return f"{statement.file}:{statement.line} {statement.text}"
