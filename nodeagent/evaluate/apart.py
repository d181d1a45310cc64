"""Texts that are appended beside the shell: in ``$( )``, pipelines and jobs, and in what ``eval`` or ``trap`` reads.

There the agent places texts and does nothing else: no step is gated, since whatever runs there has been decided on by
the statement around it. The verbs are others, which neither begin nor end anything of the shell's own.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.leaving import LOOP, LOOPS, left
from nodeagent.evaluate.meaning import Meaning
from nodeagent.evaluate.outputs import Output
from nodeagent.evaluate.statements import Statements
from nodeagent.evaluate.syntax import (
    AndOr,
    Block,
    Command,
    Compound,
    Function,
    Node,
    Opaque,
    Pipeline,
    Script,
    Substitution,
    Word,
    substitutes,
)
from nodeagent.evaluate.touches import plain
from nodeagent.evaluate.usage import ENDS, mentions_status
from nodeagent.evaluate.verbs import Edits

_SHELLS = frozenset({f"{path}{name}" for path in ("", "/bin/", "/usr/bin/") for name in ("sh", "dash", "bash", "ash")})
_BETWEEN_SINGLE = re.compile(rb"'[^']*'")
_BETWEEN_DOUBLE = re.compile(rb'"[^"$`\\]*"')
_APPENDS = re.compile(rb">>|\btee\b")


class Apart:
    """Of one text of a program."""

    def __init__(self, script: Script, file: str, *, meaning: Meaning, statements: Statements, edits: Edits) -> None:
        self._script = script
        self._file = file
        self._meaning = meaning
        self._statements = statements
        self._edits = edits
        self._taken: list[tuple[int, int]] = []  # words that are written elsewhere
        self.placed: list[Word] = []  # the names of the files
        self.resets: frozenset[bytes] = frozenset()  # files that something begins anew which always runs
        self._brief = False  # may what prints live longer than the agent?

    def substitutions(self, found: Sequence[Substitution]) -> None:
        for one in found:
            if not any(start <= one.start < end for start, end in self._taken):
                with self._in_job(self._script.text[one.start - 2 : one.start] != b"$("):
                    self._block(one.block)

    def taken(self, words: Sequence[Word]) -> None:
        """What stands in these words is not touched: the verbs have it."""
        self._taken += [(word.start, word.end) for word in words]

    def job(self, node: Node) -> None:
        """A statement in the background."""
        with self._in_job(True):
            self.node(node)

    def function(self, body: Node) -> None:
        """The body of a function that is called in another process, be it a job."""
        with self._in_job(self._meaning.texts.parallel):
            self.node(body, returns=True)

    @contextlib.contextmanager
    def _in_job(self, job: bool) -> Iterator[None]:
        before, self._brief = self._brief, self._brief or job
        yield
        self._brief = before

    def node(self, node: Node, around: tuple[tuple[int, ...], ...] = (), *, returns: bool = False) -> None:
        """Any statement that another process runs."""
        match node:
            case Command():
                self._command(node, around, returns=returns)
            case Pipeline():
                self._place(node, self._meaning.aside(node, brief=self._brief))
                self.parts(node)
            case AndOr():
                for operand in node.operands:
                    self.node(operand, around, returns=returns)
            case Compound():
                loops = sum(one == LOOP for one in around)
                text = self._place(node, self._meaning.aside(node, loops=loops, brief=self._brief))
                self._inside(node, text, around, returns=returns)
            case Function():
                self.function(node.body)
            case Opaque():
                pass

    def parts(self, node: Pipeline) -> None:
        """The parts of a pipeline, each a process; what the commands among them print is the pipeline's business."""
        self._statements.parallel |= sum(self._may_ask(part) for part in node.parts) > 1
        for part in node.parts:
            if isinstance(part, Compound):
                self._inside(part, (), (), returns=False)

    def read_later(self, node: Command, *, outermost: bool = False) -> None:
        """``eval TEXT``, ``trap TEXT EXIT`` or ``sh -c TEXT``, where the text stands in the program as it is.

        ``outermost``: it is a statement of the program's own shell, in nothing else.
        """
        literals = [word.literal for word in node.words]
        match literals:
            case ["eval", _] | ["eval", "--", _]:
                self._text(node.words[-1])
            case ["trap", _, *signals] if signals and ENDS.issuperset(signals):
                if self._text(node.words[1]) and outermost:
                    self._edits.at_the_end(node.words[1].start + 1)
            case [name, "-c", _, *_] if name in _SHELLS:
                if not node.assigns and self._text(node.words[2]):
                    self._edits.with_verbs(node.words[2].start + 1, doubly=node.words[2].text.startswith(b'"'))

    def _text(self, word: Word) -> bool:
        """The program in a quoted word; returns whether the agent places anything that it prints."""
        doubly = _BETWEEN_DOUBLE.fullmatch(word.text) is not None
        if not (doubly or _BETWEEN_SINGLE.fullmatch(word.text)) or not _APPENDS.search(word.text):
            return False
        above = re.sub(rb"[^\n]", b" ", self._script.text[: word.start + 1])  # so that places and lines are the same
        script = parse(above + word.text[1:-1], bash=self._script.bash)
        if script.error_line is not None or script.heredocs:
            return False
        before = self._statements.count()
        inner = Apart(
            script,
            self._file,
            meaning=self._meaning.of(script),
            statements=self._statements,
            edits=self._edits,
        )
        inner.resets = self.resets
        with inner._in_job(self._brief), self._edits.between_double_quotes() if doubly else contextlib.nullcontext():
            inner.program()
        self.placed += inner.placed
        return self._statements.count() > before

    def program(self) -> None:
        """All of the text."""
        self._block(self._script.block)
        self.substitutions(self._script.substitutions)

    def _block(self, block: Block, around: tuple[tuple[int, ...], ...] = (), *, returns: bool = False) -> None:
        for node, background in block.items:
            with self._in_job(background):
                self.node(node, around, returns=returns)

    def _command(self, node: Command, around: tuple[tuple[int, ...], ...], *, returns: bool) -> None:
        if texts := left(node, around, returns=returns):
            self._edits.leave(node, texts, aside=True)
        self._place(node, self._meaning.aside(node, brief=self._brief))
        self.read_later(node)

    def _inside(
        self, node: Compound, text: tuple[int, ...], around: tuple[tuple[int, ...], ...], *, returns: bool
    ) -> None:
        if node.kind == "subshell":
            around, returns = (), False
        else:
            around = (*around, *([text] if text else ()), *([LOOP] if node.kind in LOOPS else ()))
        for block in (*node.conditions, *node.bodies):
            self._block(block, around, returns=returns)

    def _place(self, node: Node, outputs: Sequence[Output]) -> tuple[int, ...]:
        if not outputs:
            return ()
        text = self._script.slice(node)
        numbered = [(self._statements.add(self._file, text, node.line, o.phase), o) for o in outputs]
        self._statements.placed(self._file, numbered, aside=True)
        self._statements.fresh |= {number for number, o in numbered if plain(o.word.text) in self.resets}
        self.placed += [output.word for output in outputs]
        self.taken(self.placed[-len(outputs) :])
        self._edits.place(node, numbered, status=mentions_status(self._script, node), aside=True)
        return tuple(number for number, _ in numbered)

    def _may_ask(self, node: Node) -> bool:
        """May what is a part of a pipeline ask the agent?"""
        if isinstance(node, Command):
            return self._meaning.calls_function(node) or any(map(substitutes, _words(node)))
        return True


def _words(node: Command) -> Iterator[Word]:
    yield from node.words
    yield from (redirect.target for redirect in node.redirects if redirect.target is not None)
