"""What must hold after a kill or a fault, and what after the run that follows it.

This module knows nothing of the product's code: it reads the tree, and the ledger as any SQLite file.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3  # noqa: TID251 - a check of the ledger from outside
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A file or a link: type bits, permission bits, content or target."""

    kind: int
    mode: int
    content: bytes

    @classmethod
    def of(cls, path: Path) -> "State | None":
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        link = stat.S_ISLNK(found.st_mode)
        content = os.fsencode(os.readlink(path)) if link else path.read_bytes()
        return cls(kind=stat.S_IFMT(found.st_mode), mode=stat.S_IMODE(found.st_mode), content=content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A file that is appended to: what stood in it, and the blocks of the two revisions."""

    base: str
    before: Sequence[str]
    after: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Paths of files are relative to ``root``; ``before`` and ``after`` are the two revisions applied in full."""

    root: Path
    repository: Path
    ledger: Path
    state: Path
    runtime: Path
    before: Mapping[str, State]
    after: Mapping[str, State]
    between: Mapping[str, Sequence[State]]
    appended: Mapping[str, Blocks]
    originals: Sequence[str]  # contents that nodeagent replaced, and keeps
    program: str
    steps: Sequence[str]
    failing: Sequence[str]
    in_loops: Mapping[str, Sequence[str]]  # a statement, and the steps that it is each time it is reached
    unrecorded: Sequence[str]  # always run: the shell's own
    logs: Sequence[str]  # what the steps themselves write


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """How a run was left: the log of steps, those that the ledger has as done, what was wrong already."""

    log: Sequence[str]
    done: frozenset[str]
    wrong: Sequence[str]


def interrupted(what: Expectation) -> Interrupted:
    """Look at a node whose agent was killed, or met a fault, in the second revision."""
    wrong = [*_torn(what), *_ledger_faults(what)]
    return Interrupted(log=_log(what), done=_done(what), wrong=wrong)


def finished(what: Expectation, left: Interrupted | None) -> list[str]:
    """Look at the node after the run that nothing disturbed; ``left``: how the one before it had been left."""
    return [
        *_unequal(what),
        *_left_over(what),
        *_ledger_faults(what),
        *_lost_originals(what),
        *_steps(what, left),
    ]


# --- the tree ---


def _torn(what: Expectation) -> Iterator[str]:
    """Each destination is wholly old or wholly new."""
    for name in sorted(what.before.keys() | what.after.keys()):
        found = State.of(what.root / name)
        allowed = [what.before.get(name), what.after.get(name), *what.between.get(name, ())]
        if found not in allowed:
            yield f"{name} is neither old nor new: {found}"
    for name, blocks in what.appended.items():
        rest = (what.root / name).read_text()
        if not rest.startswith(blocks.base):
            yield f"{name} lost what stood there: {rest!r}"
        rest = rest.removeprefix(blocks.base)
        most = Counter(blocks.before) | Counter(blocks.after)
        while rest:
            block = next((b for b in most if most[b] and rest.startswith(b)), None)
            if block is None:
                yield f"{name} has a torn or a doubled block: {rest!r}"
                break
            most[block] -= 1
            rest = rest.removeprefix(block)


def _unequal(what: Expectation) -> Iterator[str]:
    wanted = dict(what.after)
    for name, blocks in what.appended.items():
        found = (what.root / name).read_text()
        text = found.removeprefix(blocks.base)
        for block in blocks.after:
            before, _, after = text.partition(block)
            text = before + after
        if not found.startswith(blocks.base) or text or len(found) != len(blocks.base) + sum(map(len, blocks.after)):
            yield f"{name} does not have each block once: {found!r}"
    for name in sorted(wanted.keys() | what.before.keys()):
        found_state = State.of(what.root / name)
        if found_state != wanted.get(name):
            yield f"{name} is {found_state}, not {wanted.get(name)}"
    known = wanted.keys() | what.appended.keys() | set(what.logs)
    for name in _files(what.root):
        if name not in known:
            yield f"{name} was left"


def _left_over(what: Expectation) -> Iterator[str]:
    if (what.repository / "post.sh").read_text() != what.program:
        yield "post.sh is not the repository's own"
    for name in _files(what.repository):
        if "nodeagent" in name:
            yield f"{name} was left in the repository"
    for path in what.runtime.iterdir():
        if path.name.startswith("evaluation-") or path.name == "step":
            yield f"{path} was left"
    for name in _files(what.state):
        kept = name.startswith("kept/") and not name.endswith(".new")
        if name not in {"lock", "ledger.db"} and not kept:
            yield f"{name} was left in the state directory"


def _lost_originals(what: Expectation) -> Iterator[str]:
    """The content of each file that nodeagent replaced is kept, under its digest."""
    for content in what.originals:
        kept = what.state / "kept" / hashlib.sha256(content.encode()).hexdigest()
        if not kept.exists() or kept.read_text() != content:
            yield f"there is no copy of {content!r}"


def _files(top: Path) -> Iterator[str]:
    for directory, _, names in os.walk(top):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), top)


# --- steps ---


def _log(what: Expectation) -> list[str]:
    log = what.root / "steps"
    return log.read_text().splitlines() if log.exists() else []


def _begun(lines: Sequence[str]) -> list[str]:
    return [line.removeprefix("begin ") for line in lines if line.startswith("begin ")]


def _steps(what: Expectation, left: Interrupted | None) -> Iterator[str]:
    """Every step that was due has run; none ran again whose success was on disk; at most one was cut short."""
    lines = _log(what)
    for name in what.steps:
        if name not in what.failing and f"end {name}" not in lines:
            yield f"step {name} never came to its end"
    before, done = (list(left.log), left.done) if left is not None else ([], frozenset[str]())
    ran = _begun(lines[len(before) :])
    due = [name for name in what.steps if name not in done]
    if ran != due:
        yield f"the run ran {ran}, and {due} were due"
    cut_short = [name for name in _begun(before) if name not in done and name not in what.unrecorded]
    if len(cut_short) > 1:
        yield f"more than one step was lost: {cut_short}"


# --- the ledger ---


@contextlib.contextmanager
def _opened(what: Expectation) -> Iterator[sqlite3.Connection]:
    """A copy of the ledger with what its log holds: a look must change nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        for end in ("", "-wal"):
            if (source := what.ledger.with_name(what.ledger.name + end)).exists():
                shutil.copy(source, f"{directory}/copy{end}")
        with contextlib.closing(sqlite3.connect(f"{directory}/copy")) as connection:
            yield connection


def _ledger_faults(what: Expectation) -> Iterator[str]:
    try:
        with _opened(what) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        yield f"the ledger is damaged: {found}"
    if list(what.state.glob("ledger.db.damaged*")):
        yield "the ledger was taken for damaged"


def _done(what: Expectation) -> frozenset[str]:
    """The steps of the second revision whose end is on disk."""
    with _opened(what) as connection:
        rows = connection.execute("SELECT label, reach FROM attempt WHERE evaluation > 1").fetchall()
    done = set()
    for label, reach in rows:
        text = label.partition(" ")[2]
        done.add(what.in_loops[text][reach - 1] if text in what.in_loops else text.split()[-1])
    return frozenset(done)
