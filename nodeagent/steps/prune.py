"""Prune: at the end of an evaluation, take away what earlier ones placed and no step names any more."""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.apply import takeback
from nodeagent.apply.standing import find_blocks
from nodeagent.config import Prune
from nodeagent.evaluate.statements import Instrumented
from nodeagent.ledger import destinations, origin, prune, staging, statements, undo
from nodeagent.ledger.database import Connection
from nodeagent.ledger.origin import Author, Known
from nodeagent.ledger.prune import Orphan, Program
from nodeagent.model.destinations import Block
from nodeagent.model.evaluation import Change, Phase, Step
from nodeagent.model.events import Notice, Reporter
from nodeagent.steps.engine import Steps

_WARNING, _NOTICE, _DEBUG = 4, 5, 7  # syslog severities
_LONGEST_PROGRAM = 2**20  # bytes; what is longer is no script that somebody wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An orphan that may go, or (``reason``) stays, and who put it there."""

    orphan: Orphan
    author: Author
    phase: Phase
    reason: str

    @property
    def line(self) -> str:
        what = f"{self.orphan.path}" if self.orphan.block is None else f"text appended to {self.orphan.path}"
        return f"{what}, placed by {self.author.file}:{self.author.line} {self.author.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """The prune of one evaluation that has come to its end; ``source`` and ``evaluation`` are the ledger's numbers."""

    connection: Connection
    source: int
    evaluation: int
    mode: Prune
    steps: Steps
    reporter: Reporter

    def after(self, instrumented: Instrumented, directory: Path) -> None:
        """Take away what may go, or say what would, if no step failed; ``directory`` holds the tree."""
        if self.steps.has_failed() or instrumented.whole:
            return
        program = Program(
            statements=instrumented.statements,
            reached=self.steps.native.reached,
            lines=functools.cache(functools.partial(_programs_of, directory)),
        )
        known = prune.inventory(self.connection, self.source, self.evaluation)
        found = self._gone([*self._files(known.files, program), *self._blocks(known.blocks, program)])
        going = [one for one in found if not one.reason]
        if self.mode is True and going and prune.is_too_much(len(going), known.size):
            text = f"{len(going)} of {known.size} destinations are in no step any more: none is pruned, as that is more"
            self.reporter.report(
                Notice(priority=_WARNING, text=f"{text} than ten and than half; `nodeagent undo PATH` removes them")
            )
        elif self.mode is True:
            for one in going:
                self._take(one)
            for path in reversed(known.directories):
                self._take_directory(path, program)
            found = [one for one in found if one.reason]
        lines = [f"{one.line}: {one.reason or 'prune = true would remove it'}" for one in found]
        lines = [] if self.mode is False else [*lines, *self._entries(program)]
        for text in prune.told(self.connection, self.source, lines):
            self.reporter.report(Notice(priority=_NOTICE, text=f"no step of post.sh names it any more: {text}"))

    def _gone(self, found: Sequence[Found]) -> list[Found]:
        """Not reached is not gone: what a ``grep -q LINE FILE || echo LINE >>FILE`` leaves alone is as it should be."""
        for one in found:
            if one.reason == prune.NOT_REACHED:
                self.reporter.report(Notice(priority=_DEBUG, text=f"{one.line}: {one.reason}: it stays"))
        return [one for one in found if one.reason != prune.NOT_REACHED]

    def _known(self, path: str) -> Known | None:
        return origin.find(self.connection, path, kept=Path())

    def _files(self, paths: Sequence[str], program: Program) -> Iterator[Found]:
        for path in paths:
            known = self._known(path)
            if known is None or known.placed is None or known.placed.only_appended:
                continue
            if os.path.lexists(path):
                yield self._judged(known, known.placed.author, known.placed.phase, program, block=None)
            elif known.placed.statement not in {statement.key for statement in program.statements}:
                undo.forget(self.connection, path, hold=None)  # gone without us, and nobody will ask for it

    def _blocks(self, paths: Sequence[str], program: Program) -> Iterator[Found]:
        for path in paths:
            known = self._known(path)
            if known is None or known.placed is None:
                continue
            claimed = self.steps.native.unclaimed(path)
            touched = known.placed.evaluation == self.evaluation
            if (claimed is None and touched) or not (touched or known.placed.only_appended):
                continue
            left_over = None if claimed is None else list(claimed)
            for position in reversed(self._standing(known)):
                one = known.blocks[position]
                if one.block.adopted or not one.block.statement:
                    continue
                if left_over is None or one.block in left_over:
                    if left_over is not None:
                        left_over.remove(one.block)
                    yield self._judged(known, one.author, Phase.APPEND, program, block=one.block)

    def _entries(self, program: Program) -> Iterator[str]:
        """What MERGEs that are gone have left, told by name; it may be hashes of passwords.

        It stays: whoever goes from a user database leaves files and processes without a name.
        """
        live = {statement.key for statement in program.statements}
        for one in prune.merged(self.connection, self.source):
            standing = set(_lines_of(one.path)) if one.statement not in live else set()
            names = [os.fsdecode(text.partition(b":")[0]) for text in one.entries if text in standing]
            if names:
                what = (
                    f"entries merged into {one.path} ({', '.join(names)}), placed by {one.file}:{one.line} {one.text}"
                )
                yield f"{what}: they are not pruned: `nodeagent undo {one.path}` takes them out"

    def _standing(self, known: Known) -> list[int]:
        blocks = [one.block for one in known.blocks]
        try:
            content = Path(known.path).read_bytes()
        except OSError:
            return []
        return [n for n, span in enumerate(find_blocks(content, blocks)) if span is not None]

    def _judged(self, known: Known, author: Author, phase: Phase, program: Program, *, block: Block | None) -> Found:
        assert known.placed is not None
        statement = block.statement if block is not None else known.placed.statement
        placed = known.placed
        changed = origin.differences(placed, known.path) if block is None else ()
        if block is None and placed.left is None:
            changed = ["how it was left is not known"]
        orphan = Orphan(
            path=known.path,
            statement=statement,
            created=known.placed.created and known.before is None,
            changed=changed,
            verbs=placed.verbs if block is None else 1,
            permitted=prune.permits(self.connection, self.source, statement),
            block=block,
        )
        return Found(orphan=orphan, author=author, phase=phase, reason=prune.stays(orphan, program))

    # --- taking away ----------------------------------------------------------------------------------------------

    def _take(self, found: Found) -> None:
        path, block = found.orphan.path, found.orphan.block
        try:
            if block is None:
                takeback.remove(path)
                undo.forget(self.connection, path, hold=None)
            else:
                self._take_block(path, block)
        except OSError as error:
            self._tell(found, Change.FAILED, f"cannot be pruned: {error.strerror or error}")
        else:
            self._tell(found, Change.PRUNED, "no step names it any more")

    def _take_block(self, path: str, block: Block) -> None:
        known = self._known(path)
        assert known is not None
        assert known.placed is not None
        blocks = [one.block for one in known.blocks]
        position = len(blocks) - 1 - blocks[::-1].index(block)  # of equal ones the last
        untouched = known.placed.evaluation < self.evaluation
        staging.note(self.connection, os.path.dirname(path))
        takeback.take_out(path, blocks, {position}, may_remove=untouched and known.placed.created)
        rest = [one for n, one in enumerate(blocks) if n != position]
        if position < len(rest):  # it continues now what the one that went continued
            follower = rest[position]
            rest[position] = replace(follower, continues=follower.continues and blocks[position].continues)
        if not os.path.lexists(path) or (untouched and all(one.adopted for one in rest)):
            undo.forget(self.connection, path, hold=None)
            return
        key = os.fsencode(path)
        with self.connection:
            self.connection.execute("BEGIN")
            statements.write_blocks(self.connection, key, rest, source=self.source, evaluation=self.evaluation)
        destinations.leave(self.connection, path)

    def _take_directory(self, path: str, program: Program) -> None:
        """An empty directory of which nothing is left goes too; it is told by what was in it."""
        known = self._known(path)
        if known is None or known.placed is None:
            return
        found = self._judged(known, known.placed.author, known.placed.phase, program, block=None)
        if not found.reason and os.path.isdir(path) and not os.listdir(path):
            self._take(found)

    def _tell(self, found: Found, change: Change, reason: str) -> None:
        step = Step(
            file=found.author.file,
            line=found.author.line,
            phase=found.phase,
            change=change,
            path=found.orphan.path,
            reason=reason,
        )
        self.steps.account.pruned(step)


def _lines_of(path: str) -> list[bytes]:
    try:
        return Path(path).read_bytes().split(b"\n")
    except OSError:
        return []


def _programs_of(directory: Path) -> list[str]:
    """The lines, without comments, of every program in a tree."""
    lines = []
    for top, _, names in os.walk(directory):
        for name in names:
            path = Path(top) / name
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST_PROGRAM:
                continue
            text = path.read_bytes()
            if text.startswith(b"#!"):
                lines += [line for line in os.fsdecode(text).split("\n") if not line.lstrip().startswith("#")]
    return lines
