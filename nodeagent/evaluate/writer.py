"""Puts the verbs into one text: walks over its statements, and decides by what each is, and by what is around it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nodeagent.evaluate.apart import Apart
from nodeagent.evaluate.functions import Functions
from nodeagent.evaluate.leaving import LOOP, LOOPS, left
from nodeagent.evaluate.meaning import CopyCall, Meaning, names
from nodeagent.evaluate.outputs import Output
from nodeagent.evaluate.redirects import errors_kept, is_bashism, overwrites
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
    substitutes,
)
from nodeagent.evaluate.touches import only_edits, plain, reset, share, written
from nodeagent.evaluate.usage import Dots, mentions_status, reads_status
from nodeagent.evaluate.verbs import Edits
from nodeagent.evaluate.vocabulary import ACTING_BUILTINS
from nodeagent.model.evaluation import Phase


@dataclass(frozen=True, slots=True)
class _Context:
    used: bool = False  # the status or output decides something, so nothing may be skipped
    after: bool = False  # what stands behind the block looks at ``$?``
    heard: bool = False  # what is said of errors goes to a file
    around: tuple[tuple[int, ...], ...] = ()  # the texts and the loops that it is in: see leaving.py
    returns: bool = False  # there is something to return from


class Writer:
    """Of one text of a program."""

    def __init__(
        self,
        script: Script,
        file: str,
        *,
        known: Functions,
        meaning: Meaning,
        statements: Statements,
        dots: Dots,
        heard: bool,
    ) -> None:
        self._script = script
        self._file = file
        self._known = known
        self._meaning = meaning
        self._texts = meaning.texts
        self._statements = statements
        self._dots = dots
        self._heard = heard  # of functions, which may be called where it is so
        self._shared: frozenset[bytes] = frozenset()
        self._resets: frozenset[bytes] = frozenset()
        self._edits = Edits(script, traced=meaning.texts.traced)
        self._apart = Apart(script, file, meaning=meaning, statements=statements, edits=self._edits)

    def write(self, shared: frozenset[bytes], resets: frozenset[bytes], *, heard: bool) -> bytes:
        """The instrumented text; ``shared``: paths that something writes to which always runs; ``resets``: those of
        them that lose by it what they held."""
        self._shared, self._resets = shared, resets
        self._apart.resets = resets
        self._block(self._script.block, _Context(heard=heard, returns=self._file != self._statements.entry))
        self._apart.substitutions(self._script.substitutions)
        return self._edits.text()

    # --- walking ---

    def _block(self, block: Block, context: _Context) -> None:
        for index, (node, background) in enumerate(block.items):
            following = block.items[index + 1][0] if index + 1 < len(block.items) else None
            after = context.after if following is None else reads_status(self._script, following)
            here = replace(context, used=context.used or after, after=after)
            if background:
                self._background(node, here)
            else:
                self._node(node, here)

    def _node(self, node: Node, context: _Context) -> None:
        match node:
            case Command():
                self._command(node, context)
            case Pipeline():
                self._pipeline(node, context)
            case AndOr():
                self._and_or(node, context)
            case Compound():
                self._compound(node, context)
            case Function():
                self._function(node)
            case Opaque():
                pass

    def _compound(self, node: Compound, context: _Context) -> None:
        if is_bashism(node.redirects):
            self._always(node)
            return
        loops = sum(one == LOOP for one in context.around)
        text = self._place(node, self._texts.compound(node, loops=loops))
        context = replace(
            context,
            used=context.used or overwrites(node.redirects) is not None,
            heard=context.heard or errors_kept(node.redirects),
            around=(*context.around, *([text] if text else ()), *([LOOP] if node.kind in LOOPS else ())),
        )
        if node.kind == "subshell":
            context = replace(context, around=(), returns=False)
        texts = self._statements.count()
        for block in node.conditions:
            self._block(block, replace(context, used=True, after=True))
        waits = node.kind == "while" and not self._meaning.counts(node.conditions[0])
        for block in node.bodies:
            self._block(block, replace(context, used=context.used or waits))
        if node.kind == "subshell" and (self._statements.count() > texts or self._meaning.calls_function(node)):
            self._edits.behind_subshell(node)

    def _function(self, node: Function) -> None:
        usage = self._known.usage[node.name]
        run = self._known.runs.get(node.name)
        if run is not None and run.program is not None:
            # Only calls that are marked are told, so it may be called anywhere.
            self._edits.program_of_run(run.program)
            for logger in run.loggers:
                self._edits.log(logger)
        elif (copy := self._known.copies.get(node.name)) is not None:
            if copy.spoken is not None and copy.file == self._file:
                self._edits.copy_of(copy.name.encode(), copy.spoken)
        elif run is None:
            if usage.isolated:
                if not usage.interrupts:
                    self._apart.function(node.body)
                self._always(node.body)
            else:
                self._node(node.body, _Context(used=usage.used, after=usage.used, heard=self._heard, returns=True))

    def _and_or(self, node: AndOr, context: _Context) -> None:
        context = replace(context, used=context.used or self._meaning.reads(node))
        alone = not (context.used or self._repeats(node))
        if alone and all(self._meaning.acts_or_nothing(operand) for operand in node.operands):
            acting = [operand for operand in node.operands if self._meaning.acts(operand)]
            for operand in acting:
                self._place(operand, self._meaning.outputs(operand))
            if acting:
                found = [name for operand in acting if isinstance(operand, Command) for name in names(operand) or ()]
                self._statements.lists.add(self._gate(node, found))
            return
        if not context.used and self._meaning.accepts_failure(node):
            self._node(node.operands[0], context)
            return
        safe = True  # so far nothing stood in the list that acts and always runs
        for operand in node.operands[:-1]:
            self._node(operand, replace(context, used=True))
            safe = safe and not self._meaning.acts(operand) and not self._meaning.calls_function(operand)
        self._node(node.operands[-1], context if safe else replace(context, used=True))

    def _pipeline(self, node: Pipeline, context: _Context) -> None:
        outputs = self._texts.pipeline(node)
        always = context.used or self._meaning.reads(node) or self._repeats(node)
        if not always and self._meaning.acts(node):
            self._gate(node, [])
        self._place(node, outputs)
        self._apart.parts(node)
        if always:
            self._always(node, outputs)

    def _background(self, node: Node, context: _Context) -> None:
        """A job in the background cannot change the shell: gate its start."""
        self._apart.job(node)
        if context.used or not self._meaning.may_start(node) or self._repeats(node):
            self._always(node)
            return
        ampersand = self._script.text.index(b"&", node.end)
        self._edits.start_gate(node, ampersand, self._statement(node, Phase.EXECUTE))

    def _command(self, node: Command, context: _Context) -> None:
        if texts := left(node, context.around, returns=context.returns):
            self._edits.leave(node, texts)
        self._apart.read_later(node, outermost=self._is_outermost(node))
        if not node.words or (not is_bashism(node.redirects) and self._native(node, context)):
            return
        used = context.used or self._meaning.reads(node) or (node.assigns and node.name in self._known.usage)
        used = used or self._repeats(node)
        outputs = self._meaning.outputs(node)
        if node.name in self._known.runs:
            self._run(node, outputs, asked=used)
        elif used:
            if self._meaning.sources(node) and not self._dots.get((self._file, node.start)):
                self._apart.taken(node.words[1:2])
                self._edits.dot(node, as_it_is=True)
            self._always(node, outputs)
        elif self._meaning.sources(node):
            self._dot(node)
        elif self._meaning.is_program(node) and (found := names(node)) is not None:
            self._gate(node, [] if node.name in ACTING_BUILTINS else found)
        else:
            self._always(node, outputs)
        self._place(node, outputs)

    def _is_outermost(self, node: Node) -> bool:
        """Is it a statement of post.sh's own shell, which nothing stands around?"""
        items = self._script.block.items
        return self._file == self._statements.entry and any(one is node and not job for one, job in items)

    def _always(self, node: Node, placed: Sequence[Output] = ()) -> None:
        """It runs each time: so does all that writes to what it writes to, but for what the agent ``placed``."""
        words = [output.word for output in placed]
        words += [word for word in self._apart.placed if node.start <= word.start < node.end]
        self._statements.reset |= reset(node) - {plain(o.word.text) for o in placed if o.phase is Phase.WRITE}
        self._statements.repeated |= written(node) - {plain(word.text) for word in words}

    def _repeats(self, node: Node) -> bool:
        return share(written(node), self._shared)

    def _native(self, node: Command, context: _Context) -> bool:
        if (call := self._meaning.copy_call(node)) is not None:
            self._copy(node, call, heard=context.heard or errors_kept(node.redirects))
        elif self._meaning.prints(node) and (outputs := self._meaning.outputs(node)):
            self._place(node, outputs)
        else:
            return False
        return True

    # --- writing ---

    def _statement(self, node: Node, phase: Phase, shown: bytes | None = None, *, asked: bool = False) -> int:
        return self._statements.add(self._file, self._script.slice(node), node.line, phase, shown=shown, asked=asked)

    def _gate(self, node: Node, names: list[bytes]) -> int:
        number = self._statement(node, Phase.EXECUTE)
        self._note_editing(node, number)
        self._edits.gate(node, number, names)
        return number

    def _note_editing(self, node: Node, number: int) -> None:
        if only_edits(node):
            self._statements.editing.add(number)

    def _run(self, node: Command, outputs: Sequence[Output], *, asked: bool) -> None:
        """A call of a RUN-like function; one that nothing may keep from running is only told."""
        run = self._known.runs[node.name or ""]
        name = node.words[1] if len(node.words) > 1 else None
        asked = asked or name is None or substitutes(name)
        if asked:
            self._always(node, outputs)
        marked = run.program is not None and not is_bashism(node.redirects)  # which a plain shell takes for ``&``
        if name is None or (asked and not marked):
            return
        number = self._statement(node, Phase.EXECUTE, self._script.text[name.start : node.end], asked=asked)
        if run.logs:
            self._statements.logged.add(number)
        self._note_editing(node, number)
        if asked:
            self._edits.told(node, number)
        else:
            self._edits.gate(node, number, [name.text], mark=marked)

    def _dot(self, node: Command) -> None:
        """Any file: what it is, and whether it defines a COPY function anew, is known when it happens."""
        self._statements.opened.setdefault(self._file, set()).update(self._dots.get((self._file, node.start), ()))
        self._apart.taken(node.words[1:2])
        self._edits.dot(node)

    def _copy(self, node: Command, call: CopyCall, *, heard: bool) -> None:
        number = self._statement(node, Phase.COPY if call.function is None else call.function.phase)
        self._statements.copies[number] = call
        if heard and not (call.function and call.function.phase is Phase.MERGE):
            self._statements.heard.add(number)
        to = plain(node.words[-1].text).rstrip(b"/")
        if share((to, to + b"/"), self._shared):
            self._statements.fresh.add(number)
        if call.function is not None and call.function.spoken is not None:
            self._edits.told(node, number)
        else:
            self._edits.before(node.words[0].start, b"__na_cp %d " % number)

    def _place(self, node: Node, outputs: Sequence[Output]) -> tuple[int, ...]:
        """Have the agent place what a statement prints: around what else is done to the statement. Returns the numbers
        of its steps."""
        if not outputs:
            return ()
        numbered = [(self._statement(node, output.phase), output) for output in outputs]
        self._statements.placed(self._file, numbered)
        self._apart.taken([output.word for output in outputs])
        for number, output in numbered:
            name = plain(output.word.text)
            if name in self._resets or (output.phase is Phase.WRITE and share((name,), self._shared)):
                self._statements.fresh.add(number)
        self._edits.place(node, numbered, status=mentions_status(self._script, node))
        return tuple(number for number, _ in numbered)
