"""A step that has begun and has not come to its end."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.evaluate.stand import Stand
from nodeagent.model.evaluation import Statement


@dataclass(slots=True, kw_only=True)
class Frame:
    """A step that has begun. ``silent`` ones are only paired with their end: no gate stood before them.

    ``place`` is the statement's number in the program, which its end names too; -1 without a gate. ``reason`` is why it
    runs, ``limit`` its own time limit in seconds, ``tries`` and ``tick`` are those of
    :class:`nodeagent.model.evaluation.Attempt`.
    """

    statement: Statement | None
    place: int = -1
    reach: int = 0
    number: int = 0
    began: float = field(default_factory=time.monotonic)
    command: str = ""
    reason: str = ""
    limit: float | None = None
    tries: int = 1
    tick: int = 0
    silent: bool = False
    logged: bool = False  # the function around it logs for itself
    gated: bool = True
    running: bool = False  # the command inside a RUN function has begun
    nests: bool = False  # code of the shell itself runs in it, which may reach further steps
    may_fail: bool = False  # ``set -e`` lets it
    returned: int | None = None  # of the command inside a RUN function
    expired: bool = False
    partial: bool = False  # a step in it was skipped, so that its text is not all there
    target: str = ""
    others: tuple[str, ...] = ()  # further files that get the same text
    staged: Path | None = None
    stand: Stand | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is a text that the agent is to place (``staged`` is None where the shell cannot write it)."""
        return self.silent and self.statement is not None
