"""What a planted bug is, and how it is put into a tree."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One mistake that somebody could make: in ``file``, ``old``, which stands there once, becomes ``new``.

    ``tests`` are the words for pytest that choose the tests of which one has to fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.tests)

    @property
    def test_files(self) -> list[str]:
        return [word.partition("::")[0] for word in self.words if word.startswith("tests/")]

    def problem(self, tree: Path) -> str:
        """Why it cannot be planted in a tree; empty: it can."""
        if not (tree / self.file).is_file():
            return f"there is no {self.file}"
        count = (tree / self.file).read_text().count(self.old)
        return "" if count == 1 else f"{self.file} has the old text {count} times"

    def plant(self, tree: Path) -> str:
        """Put it into a tree; the text of the file before.

        Raises:
            ValueError: it cannot be planted; the text says why.
        """
        if problem := self.problem(tree):
            raise ValueError(problem)
        before = (tree / self.file).read_text()
        (tree / self.file).write_text(before.replace(self.old, self.new))
        return before
