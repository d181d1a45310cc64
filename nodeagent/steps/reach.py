"""How far an evaluation has come: which steps were reached, how often, and which stand behind."""

from collections import Counter
from collections.abc import Iterator

from nodeagent.evaluate.statements import Instrumented
from nodeagent.model.evaluation import Phase, Statement

_LIMIT = 100_000  # steps of one evaluation; a loop without end is told from work


class Reach:
    """Of one evaluation of one program."""

    def __init__(self, program: Instrumented) -> None:
        self._program = program
        self._times: Counter[str] = Counter()
        self._last: dict[str, int] = {}  # the last line reached, by file; the last file last

    def to(self, number: int) -> Statement:
        """The shell has come to the statement of this number."""
        statement = self._program.statements[number]
        self._last.pop(statement.file, None)
        self._last[statement.file] = statement.line
        return statement

    def times(self, statement: Statement) -> int:
        """An EXECUTE step is reached once more: for the how-manieth time.

        Raises:
            ValueError: post.sh does not come to an end.
        """
        self._times[statement.key] += 1
        if self._times.total() > _LIMIT:
            raise ValueError(f"{statement.file}:{statement.line}: more than {_LIMIT} steps: a loop without end?")
        return self._times[statement.key]

    def behind(self) -> Iterator[Statement]:
        """The EXECUTE steps that were not reached and stand behind the last one that was."""
        for statement in self._program.statements:
            waits = statement.phase is Phase.EXECUTE and not statement.asked and not self._times[statement.key]
            if waits and self._is_ahead(statement.file, statement.line):
                yield statement

    def _is_ahead(self, file: str, line: int, seen: frozenset[str] = frozenset()) -> bool:
        """Is the line behind the last one that was reached? What is in a file that was not begun is where its ``.``
        is."""
        if file == self._program.file or file in self._last:
            here = file == self._program.file or file == next(reversed(self._last))
            return here and line > self._last.get(file, 0)
        dots = [(by, at) for by, at, files in self._program.dots if file in files and by not in seen]
        return any(self._is_ahead(by, at, seen | {file}) for by, at in dots)
