"""Text in, text out: put the agent's verbs around the statements whose meaning is known.

Lines stay where they are, ``$?`` and ``set -e`` work as before, and whatever is not recognised is left alone.
What the text becomes::

    COPY ./a /etc/b         __na_cp 1 COPY ./a /etc/b
    cat a >>/etc/b          { __na_t=/etc/b; __na_to 2; cat a >>"$__na_o"; __na_tx 2; }
    systemctl restart x     if __na_go 3 systemctl; then systemctl restart x; __na_ok 3 && :; else __na_no; fi
    RUN name args           if __na_go 4 name; then RUN name args; __na_ok 4 && :; else __na_no; fi
    "$@" in RUN             __na_run "$@"; "$@"; __na_ran && :
    logger ... in RUN       __na_log ...

The verbs are in ``prelude.sh``. ``&& :`` keeps a status that the step was allowed to have (``set -e`` lets ``a && b``
fail in ``a``) from counting a second time, for ``set -e`` and for an ERR trap.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace

from nodeagent.evaluate.functions import Functions, Understood, functions
from nodeagent.evaluate.meaning import CopyCall, Meaning, names, negated
from nodeagent.evaluate.redirects import is_bashism, overwrites
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
    Word,
    substitutes,
)
from nodeagent.evaluate.texts import Texts
from nodeagent.evaluate.touches import plain, share, temporary, written
from nodeagent.evaluate.untouchable import untouchable
from nodeagent.evaluate.usage import reads_status
from nodeagent.evaluate.vocabulary import ACTING_BUILTINS
from nodeagent.model import Phase, Statement

_REPORT_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrumented:
    """``statements[n]`` is the step that the text names by the number ``n``.

    ``logged`` holds the numbers of the steps whose own function logs what runs; ``lists`` of those that ``set -e`` may
    let fail; ``fresh`` of each COPY or WRITE whose file something edits that always runs, so that the verb has to put
    its own text first. ``whole`` says why the program is to be run as one step; then ``text`` is as given.
    """

    text: bytes
    statements: tuple[Statement, ...] = ()
    copies: dict[int, CopyCall] = field(default_factory=dict)
    logged: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()
    fresh: frozenset[int] = frozenset()
    whole: str = ""


def instrument(script: Script, file: str, understood: Understood) -> Instrumented:
    """Instrument one program.

    Args:
        script: the parsed text.
        file: its name for reports, relative to the checkout.
        understood: tells which lists of rsync flags the agent can do itself.
    """
    if script.error_line is not None:
        return Instrumented(text=script.text, whole=f"line {script.error_line} is not understood")
    reason = untouchable(script)
    if reason:
        return Instrumented(text=script.text, whole=reason)
    known = functions(script, understood)
    shared = temporary(script)
    while True:  # a step that is to run each time may be what makes another one so
        writer = _Writer(script, file, known, understood, shared)
        program = writer.write()
        if writer.repeated <= shared:
            return program
        shared |= writer.repeated


@dataclass(frozen=True, slots=True)
class _Context:
    """``used``: the status or output decides something, so nothing may be skipped. ``after``: what stands behind
    the block looks at ``$?``."""

    used: bool = False
    after: bool = False


class _Writer:
    def __init__(
        self, script: Script, file: str, known: Functions, understood: Understood, shared: frozenset[bytes]
    ) -> None:
        self._script = script
        self._text = script.text
        self._file = file
        self._known = known
        self._texts = Texts(script)
        self._meaning = Meaning(script, known, understood, self._texts)
        self._shared = shared  # paths that something writes to which always runs
        self.repeated: set[bytes] = set()  # those that this pass has found
        self._fresh: set[int] = set()
        self._edits: list[tuple[int, int, bytes]] = []
        self._statements: list[Statement] = []
        self._copies: dict[int, CopyCall] = {}
        self._logged: set[int] = set()
        self._lists: set[int] = set()
        self._seen: Counter[bytes] = Counter()

    def write(self) -> Instrumented:
        self._block(self._script.block, _Context())
        text = bytearray(self._text)
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2], reverse=True):
            text[start:end] = new
        return Instrumented(
            text=bytes(text),
            statements=tuple(self._statements),
            copies=self._copies,
            logged=frozenset(self._logged),
            lists=frozenset(self._lists),
            fresh=frozenset(self._fresh),
        )

    # --- walking ---

    def _block(self, block: Block, context: _Context) -> None:
        for index, (node, background) in enumerate(block.items):
            following = block.items[index + 1][0] if index + 1 < len(block.items) else None
            after = context.after if following is None else reads_status(self._script, following)
            here = _Context(used=context.used or after, after=after)
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
        place = self._texts.output(node)
        if place is not None:
            self._place_text(node, *place)
        context = replace(context, used=context.used or overwrites(node.redirects) is not None)
        for block in node.conditions:
            self._block(block, replace(context, used=True, after=True))
        waits = node.kind == "while" and not self._meaning.counts(node.conditions[0])
        for block in node.bodies:
            self._block(block, replace(context, used=context.used or waits))

    def _function(self, node: Function) -> None:
        usage = self._known.usage[node.name]
        if node.name in self._known.copies:
            return
        if usage.isolated:
            self._always(node.body)
            return
        run = self._known.runs.get(node.name)
        if run is None:
            self._node(node.body, _Context(used=usage.used, after=usage.used))
        elif run.program is not None:
            self._insert(run.program.start, b'__na_run "$@"; ')
            self._insert(run.program.end, b"; __na_ran && :")
            for logger in run.loggers:
                self._edits.append((logger.words[0].start, logger.words[0].end, b"__na_log"))

    def _and_or(self, node: AndOr, context: _Context) -> None:
        context = replace(context, used=context.used or self._meaning.reads(node))
        alone = not (context.used or self._repeats(node))
        if alone and all(self._meaning.acts_or_nothing(operand) for operand in node.operands):
            acting = [operand for operand in node.operands if self._meaning.acts(operand)]
            if acting:
                found = [name for operand in acting if isinstance(operand, Command) for name in names(operand) or ()]
                self._lists.add(self._gate(node, found))
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
        if (place := self._texts.tee(node)) is not None:
            self._place_text(node, *place)
        elif context.used or self._meaning.reads(node) or negated(node) or self._repeats(node):
            self._always(node)
        elif self._meaning.acts(node):
            self._gate(node, [])

    def _background(self, node: Node, context: _Context) -> None:
        """A job in the background cannot change the shell: gate its start. The functions in it are left alone."""
        if context.used or b"$!" in self._text or not self._meaning.may_start(node) or self._repeats(node):
            self._always(node)
            return
        ampersand = self._text.index(b"&", node.end)
        number = self._statement(node, Phase.EXECUTE)
        self._insert(node.start, b"if __na_go %d; then " % number)
        more = self._text[ampersand + 1 :].lstrip(b" \t")[:1] not in {b"", b"\n", b";", b")", b"#"}
        self._edits.append((ampersand, ampersand + 1, b"& __na_ok %d; else __na_no; fi" % number + b"; " * more))

    def _command(self, node: Command, context: _Context) -> None:
        if not node.words:
            return
        if not is_bashism(node.redirects) and self._native(node):
            return
        used = context.used or self._meaning.reads(node) or (node.assigns and node.name in self._known.usage)
        if used or self._repeats(node):
            self._always(node)
        elif node.name in self._known.runs:
            self._run(node)
        elif self._meaning.is_program(node) and (found := names(node)) is not None:
            self._gate(node, [] if node.name in ACTING_BUILTINS else found)
        else:
            self._always(node)

    def _always(self, node: Node) -> None:
        """It runs each time: what it writes to is to be written each time by all that write to it."""
        self.repeated |= written(node)

    def _repeats(self, node: Node) -> bool:
        return share(written(node), self._shared)

    def _native(self, node: Command) -> bool:
        if (call := self._meaning.copy_call(node)) is not None:
            self._copy(node, call)
        elif (place := self._texts.command(node)) is not None:
            self._place_text(node, *place)
        elif (target := self._printed_to(node)) is not None:
            self._place_text(node, target, Phase.APPEND)
        else:
            return False
        return True

    def _printed_to(self, node: Command) -> Word | None:
        """The file that a function's output is appended to: ``header >>/etc/b``."""
        own = node.name in self._known.usage and node.name not in self._known.runs and not node.assigns
        return self._texts.call_target(node) if own else None

    # --- writing ---

    def _insert(self, at: int, new: bytes) -> None:
        self._edits.append((at, at, new))

    def _statement(self, node: Node, phase: Phase, shown: bytes | None = None) -> int:
        text = self._meaning.slice(node)
        self._seen[text] += 1
        identity = b"\0".join((self._file.encode(errors="surrogateescape"), text, b"%d" % self._seen[text]))
        words = " ".join((shown or text).decode(errors="replace").split())
        self._statements.append(
            Statement(
                number=len(self._statements),
                key=hashlib.sha256(identity).hexdigest()[:32],
                file=self._file,
                line=node.line,
                phase=phase,
                text=words if len(words) <= _REPORT_LENGTH else words[: _REPORT_LENGTH - 1] + "…",
                last_line=node.line + text.count(b"\n"),
            )
        )
        return len(self._statements) - 1

    def _gate(self, node: Node, names: list[bytes]) -> int:
        """``names``: it is a step only if none of them is a function or a built-in when it is reached."""
        number = self._statement(node, Phase.EXECUTE)
        self._open_gate(node, number, names)
        return number

    def _open_gate(self, node: Node, number: int, names: list[bytes]) -> None:
        self._insert(node.start, b"if __na_go %s; then " % b" ".join([b"%d" % number, *names]))
        self._insert(node.end, b"; __na_ok %d && :; else __na_no; fi" % number)

    def _run(self, node: Command) -> None:
        if len(node.words) < 2 or substitutes(node.words[1]):
            return
        number = self._statement(node, Phase.EXECUTE, self._text[node.words[1].start : node.end])
        if self._known.runs[node.name or ""].logs:
            self._logged.add(number)
        self._open_gate(node, number, [node.words[1].text])

    def _copy(self, node: Command, call: CopyCall) -> None:
        number = self._statement(node, Phase.COPY)
        self._copies[number] = call
        to = plain(node.words[-1].text).rstrip(b"/")
        if share((to, to + b"/"), self._shared):
            self._fresh.add(number)
        self._insert(node.words[0].start, b"__na_cp %d " % number)

    def _place_text(self, node: Node, target: Word, phase: Phase) -> None:
        number = self._statement(node, phase)
        if phase is Phase.WRITE and share((plain(target.text),), self._shared):
            self._fresh.add(number)
        self._insert(node.start, b"{ __na_t=%s; __na_to %d; " % (target.text, number))
        self._edits.append((target.start, target.end, b'"$__na_o"'))
        self._insert(node.end, b"; __na_tx %d; }" % number)
