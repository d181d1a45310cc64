"""What became of the destinations since they were left: found, told, spared, and watched from one cycle to the next."""

import os
import time
from dataclasses import dataclass

from nodeagent import ancestry, node
from nodeagent.config import Config
from nodeagent.evaluate import policy
from nodeagent.ledger import changes, database, destinations, drift, watch
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Scope
from nodeagent.model.events import Notice, Reporter
from nodeagent.situation import Wishes

_WARNING = 4  # syslog severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at all destinations of a source, and what the configuration says of those that drifted.

    ``tick`` is the count of changes when it was taken.
    """

    found: destinations.Sweep
    judged: drift.Judged
    tick: int

    def spared(self, due: policy.Due, wishes: Wishes) -> frozenset[str]:
        """What has drifted and is to stay so; a full evaluation makes everything as post.sh says."""
        if due.scope is not Scope.REPAIR:
            return frozenset()
        asked = wishes.requested or wishes.retry
        return frozenset([*self.judged.report, *(() if asked else self.judged.wait)])


class Drifts:
    """The drift of one source's destinations."""

    def __init__(self, config: Config, source: Source, connection: database.Connection, reporter: Reporter) -> None:
        self._config = config
        self._source = source
        self._connection = connection
        self._reporter = reporter

    def look(self) -> Look:
        known = self._source.state() is not None
        found = destinations.sweep(self._connection, self._source.id) if known else destinations.NOTHING
        judged = drift.judge(self._connection, found.drifted, self._config.drift, time.time())
        return Look(found=found, judged=judged, tick=changes.tick(self._connection))

    def tell(self, look: Look) -> None:
        """Say once of each destination that it is not as it was left, where that is all that is wanted."""
        for path in drift.note_reported(self._connection, self._source.id, look.judged.report):
            text = f"{path}: is not as it was left: it stays so until a full evaluation (drift = report)"
            self._reporter.report(Notice(priority=_WARNING, text=text, path=path))

    def note_repairs(self, before: Look, after: Look) -> None:
        """Count what an evaluation has repaired, and name what it repairs again and again.

        Where the verbs found their part of a file as it is to be, somebody has changed his own: no strife.
        """
        still = set(after.found.drifted)
        over = [path for path in before.found.drifted if path not in still]
        repaired = [path for path in over if changes.made_to(self._connection, path, before.tick)]
        for path in drift.note_repaired(self._connection, self._source.id, repaired, time.time()):
            text = f"{path}: was repaired {drift.CONTENDED} times: somebody else writes there: repaired more rarely now"
            self._reporter.report(Notice(priority=_WARNING, text=text, path=path))

    def keep_watch(self, look: Look, *, settled: bool) -> None:
        """Let the following cycles be content with a look at the destinations, if nothing is left to be done."""
        state, found = self._source.state(), look.found
        waits = state is not None and (state.deferred or state.retries)
        told = [p for p in found.drifted if drift.policy_of(p, self._config.drift) == "report"]
        if settled and not waits and len(told) == len(found.drifted):
            as_told = ((os.fsencode(path), stat) for path in told if (stat := destinations.lstat(path)) is not None)
            note = ancestry.noted(self._config, self._connection, self._source)
            watch.write(self._config.paths.runtime, node.boot_id(), [*found.settled, *as_told], note)
