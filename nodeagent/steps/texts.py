"""The texts of an evaluation: where the shell, and processes beside it, write what the agent is to place."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from nodeagent.apply.redirection import is_plain_destination, refusal
from nodeagent.evaluate.stand import Stand
from nodeagent.evaluate.statements import Instrumented
from nodeagent.model.evaluation import Statement
from nodeagent.steps.account import Account
from nodeagent.steps.frame import Frame
from nodeagent.steps.native import Native

_PATTERN = re.compile(r"[*?\[]")


class Texts:
    """Of one evaluation. Those of processes beside the shell begin and end at any time, and have numbers."""

    def __init__(self, program: Instrumented, native: Native, account: Account, *, staging: Path) -> None:
        self._program = program
        self._native = native
        self._account = account
        self._staging = staging
        self._aside: dict[int, Frame] = {}
        self._last = 0

    def begin(self, place: int, statement: Statement, target: str, stand: Stand, *, name: str) -> Frame:
        """A text begins; its frame has no statement where the file is not for the agent, and nothing staged where the
        shell cannot write it.

        Args:
            place: the number of the statement in the program.
            statement: what prints the text.
            target: what the shell makes of the file's name.
            stand: how the shell stands.
            name: for the staged file.
        """
        # ``tee -a $FILES``: the shell splits what it is going to find where it is not staged.
        targets = target.split() if place in self._program.split and not _PATTERN.search(target) else [target]
        if not stand.cwd or not targets or not all(is_plain_destination(one, cwd=stand.cwd) for one in targets):
            return Frame(statement=None, place=place, silent=True, target=target)
        staged = None
        if all(self._can_open(os.path.join(stand.cwd, one)) for one in targets):
            staged = self._staging / name
            staged.unlink(missing_ok=True)
        # Else the redirection fails: its message, its status and what is not run then are the shell's.
        return Frame(
            statement=statement,
            place=place,
            number=self._account.next_number(),
            target=targets[0],
            others=tuple(targets[1:]),
            staged=staged,
            stand=stand,
            silent=True,
        )

    def aside(self, verb: str, arguments: Sequence[str], stand: Stand) -> str:
        """A process beside the shell begins (``st PLACE TARGET NUMBERS``, those that it is in the middle of) or ends
        (``sx PLACE NUMBER STATUS``) a text."""
        if verb == "sx":
            frame = self._aside.pop(int(arguments[1]), None)
            return str(self._native.place(frame, int(arguments[2]))) if frame is not None else "0"
        place, target = int(arguments[0]), arguments[1]
        if not self._program.turns:  # one process at a time: what it is not in the middle of was left
            self._end(set(self._aside) - set(map(int, arguments[2].split())))
        self._last += 1
        frame = self.begin(place, self._program.statements[place], target, stand, name=f"aside-{self._last}")
        if frame.statement is None:
            return "0 "
        self._aside[self._last] = frame
        return f"{self._last} {frame.staged or ''}"

    @property
    def waits(self) -> bool:
        """Is a process beside the shell in the middle of a text?"""
        return bool(self._aside)

    def end_all(self) -> None:
        """Whatever printed them has ended, perhaps in their middle."""
        self._end(self._aside.keys())

    def _end(self, numbers: Iterable[int]) -> None:
        for number in sorted(numbers):
            self._native.place(self._aside.pop(number), 1)

    def _can_open(self, path: str) -> bool:
        resolved = os.path.realpath(path)
        return not refusal(resolved) or self._native.is_left_absent(resolved)
