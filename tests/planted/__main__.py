"""Plant each bug in a copy of the project, and see which test catches it.

``python -m tests.planted [WORD...]``: only the bugs whose name holds one of the words. Two are tried at a time. The
exit code is 1 if a bug survives or cannot be planted, or if a test that caught one fails without it, too. Nothing in
the project itself is changed.
"""

import os
import re
import shutil
import subprocess  # noqa: TID251 - a harness starts programs; the product's door is apply/process.py
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.planted.bug import Bug
from tests.planted.bugs import BUGS

PROJECT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
TIME_LIMIT = 900  # seconds for the tests of one bug
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", re.M)
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a bug; ``caught_by`` is a test, empty for a bug that survived."""

    told: str
    caught_by: str = ""


class Copies:
    """Copies of the project, one for each worker."""

    def __init__(self, directory: Path) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            self._free.put(Path(shutil.copytree(PROJECT, directory / str(number), symlinks=True, ignore=_NOT_COPIED)))

    def attempt(self, bug: Bug) -> Outcome:
        """Plant a bug in a copy and run its tests."""
        tree, began = self._free.get(), time.monotonic()
        try:
            before = bug.plant(tree)
            try:
                code, said = run(tree, bug.words)
            finally:
                (tree / bug.file).write_text(before)
        except ValueError as error:
            return Outcome(told=f"DOES NOT APPLY  {bug.name}: {error}")
        finally:
            self._free.put(tree)
        found = _FAILED.search(said)
        if code == 1 and found:
            seconds = time.monotonic() - began
            return Outcome(told=f"caught    {bug.name}\n          by {found[1]} ({seconds:.0f} s)", caught_by=found[1])
        return Outcome(told=f"SURVIVED  {bug.name}" + (f": pytest ended with {code}\n{said}" if code else ""))

    def unsound(self, tests: Sequence[str]) -> str:
        """What pytest says if one of these tests fails without any bug; else nothing."""
        tree = self._free.get()
        code, said = run(tree, tests) if tests else (0, "")
        self._free.put(tree)
        return said if code else ""


def run(tree: Path, words: Sequence[str]) -> tuple[int, str]:
    """Run tests of a tree until one fails: pytest's exit code (-1 if it takes too long), and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *words],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"the tests did not end within {TIME_LIMIT} s"
    return done.returncode, done.stdout


def main(words: Sequence[str]) -> int:
    bugs = [bug for bug in BUGS if not words or any(word in bug.name for word in words)]
    caught_by: list[str] = []
    with tempfile.TemporaryDirectory(prefix="planted-") as directory, ThreadPoolExecutor(AT_ONCE) as workers:
        Path(directory).chmod(0o755)  # a worker that gave up root imports more of the project
        copies = Copies(Path(directory))
        for outcome in workers.map(copies.attempt, bugs):
            print(outcome.told, flush=True)
            caught_by += [outcome.caught_by] if outcome.caught_by else []
        unsound = copies.unsound(list(dict.fromkeys(caught_by)))
    print(f"{len(caught_by)} of {len(bugs)} bugs were caught")
    if unsound:
        print(f"but a test that caught one fails without it, too:\n{unsound}")
    return 0 if bugs and len(caught_by) == len(bugs) and not unsound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
