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
import re
from collections import Counter
from dataclasses import dataclass, field, replace

from nodeagent.evaluate.grammar import (
    AndOr,
    Block,
    Command,
    Compound,
    Function,
    Node,
    Opaque,
    Pipeline,
    Redirect,
    Script,
    Word,
)
from nodeagent.evaluate.recognise import (
    ACTING_BUILTINS,
    NEUTRAL,
    SHELL_WORDS,
    TEXT_COMMANDS,
    CopyFunction,
    Functions,
    Understood,
    children,
    functions,
    gives_up,
    is_bashism,
    overwrites,
    prints_to_file,
    reads_status,
    rsync_flags,
    untouchable,
)
from nodeagent.model import Phase, Statement

_REPORT_LENGTH = 200
_INPUTS = frozenset({"<", "<<", "<<-", "<<<"})
_BRACED = re.compile(rb"\$\{\w+\}")  # a parameter, not an expansion of braces
# A compound that is left in its middle never comes to the verb behind it.
_NOCLOBBER = re.compile(rb"(?<![\w-])set\s+-\w*C|noclobber")
_LEAVES = re.compile(rb"(?<![\w-])(?:return|break|continue|exit|exec)(?![\w-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCall:
    """How the agent reads the arguments of a COPY: ``None`` for a bare ``rsync``, whose flags are in its arguments."""

    function: CopyFunction | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrumented:
    """``statements[n]`` is the step that the text names by the number ``n``.

    ``logged`` holds the numbers of the steps whose own function logs what runs; ``lists`` of those that ``set -e`` may
    let fail. ``whole`` says why the program is to be run as one step; then ``text`` is as given.
    """

    text: bytes
    statements: tuple[Statement, ...] = ()
    copies: dict[int, CopyCall] = field(default_factory=dict)
    logged: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()
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
    return _Writer(script, file, functions(script, understood), understood).write()


@dataclass(frozen=True, slots=True)
class _Context:
    """``used``: the status or output decides something, so nothing may be skipped. ``after``: what stands behind
    the block looks at ``$?``."""

    used: bool = False
    after: bool = False


class _Writer:
    def __init__(self, script: Script, file: str, known: Functions, understood: Understood) -> None:
        self._script = script
        self._text = script.text
        self._file = file
        self._known = known
        self._understood = understood
        self._edits: list[tuple[int, int, bytes]] = []
        self._statements: list[Statement] = []
        self._copies: dict[int, CopyCall] = {}
        self._logged: set[int] = set()
        self._lists: set[int] = set()
        self._seen: Counter[bytes] = Counter()
        self._noclobber = _NOCLOBBER.search(script.text) is not None

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
            return
        self._place_output(node)
        context = replace(context, used=context.used or overwrites(node.redirects) is not None)
        for block in node.conditions:
            self._block(block, replace(context, used=True, after=True))
        waits = node.kind == "while" and not self._counts(node.conditions[0])
        for block in node.bodies:
            self._block(block, replace(context, used=context.used or waits))

    def _counts(self, condition: Block) -> bool:
        """Is the loop driven by its own input or counting? Else it waits for the world, and its body must run."""
        for node, _ in condition.items:
            if isinstance(node, Command) and node.name in {"read", ":", "true", "[", "test"}:
                continue
            if isinstance(node, Opaque) and node.kind in {"test_command", "arithmetic"}:
                text = self._slice(node)
                if not any(flag in text.split() for flag in (b"-%c" % c for c in b"abcdefghkprsuwxLNOS")):
                    continue
            return False
        return True

    def _function(self, node: Function) -> None:
        usage = self._known.usage[node.name]
        if node.name in self._known.copies or usage.isolated:
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
        context = replace(context, used=context.used or self._reads(node))
        if not context.used and all(self._acts_or_nothing(operand) for operand in node.operands):
            acting = [operand for operand in node.operands if self._acts(operand)]
            if acting:
                names = [name for operand in acting if isinstance(operand, Command) for name in _names(operand) or ()]
                self._lists.add(self._gate(node, names))
            return
        if len(node.operands) == 2 and not context.used and self._is_or(node) and self._gives_up(node.operands[1]):
            self._node(node.operands[0], context)
            return
        safe = True  # so far nothing stood in the list that acts and always runs
        for operand in node.operands[:-1]:
            self._node(operand, replace(context, used=True))
            safe = safe and not self._acts(operand) and not self._calls_function(operand)
        self._node(node.operands[-1], context if safe else replace(context, used=True))

    def _pipeline(self, node: Pipeline, context: _Context) -> None:
        target = self._tee_target(node)
        if target is not None and not self._reads(node):
            appends = b"-a" in [w.text for w in node.parts[1].words] if isinstance(node.parts[1], Command) else False
            self._place_text(node, target, Phase.APPEND if appends else Phase.WRITE)
        elif not (context.used or self._reads(node) or _negated(node)) and self._acts(node):
            self._gate(node, [])

    def _background(self, node: Node, context: _Context) -> None:
        """A job in the background cannot change the shell: gate its start. The functions in it are left alone."""
        if context.used or b"$!" in self._text or isinstance(node, Function | Opaque):
            return
        if isinstance(node, Command) and (node.name in SHELL_WORDS or node.name in NEUTRAL):
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
        if context.used or self._reads(node) or (node.assigns and node.name in self._known.usage):
            return
        if node.name in self._known.runs:
            self._run(node)
        elif self._is_program(node) and (names := _names(node)) is not None:
            self._gate(node, [] if node.name in ACTING_BUILTINS else names)

    def _native(self, node: Command) -> bool:
        name = node.name
        target = self._text_target(node)
        if name in self._known.copies and not node.assigns:
            self._copy(node, CopyCall(function=self._known.copies[name], flags=self._known.copies[name].flags))
        elif name not in self._known.usage and (flags := rsync_flags(node)) is not None and self._understood(flags):
            self._copy(node, CopyCall(function=None, flags=flags))
        elif target is not None and not self._reads(node):
            redirect = next(r for r in node.redirects if r.target is target)
            self._place_text(node, target, Phase.APPEND if redirect.operator == ">>" else Phase.WRITE)
        else:
            return False
        return True

    def _place_output(self, node: Compound) -> None:
        """Take what a compound prints as the text of a file: ``{ echo a; hostname; } >/etc/b``."""
        target = self._output_target(node.redirects)
        if target is None or self._reads(node) or _LEAVES.search(self._slice(node)) or self._uses(node, target):
            return
        if overwrites(node.redirects) is target:
            self._place_text(node, target, Phase.WRITE)
        elif self._only_prints(node) and any(r.operator == ">>" and r.target is target for r in node.redirects):
            self._place_text(node, target, Phase.APPEND)

    def _only_prints(self, node: Node) -> bool:
        match node:
            case Command():
                inputs = all(r.operator in _INPUTS for r in node.redirects)
                return inputs and (node.name in TEXT_COMMANDS or node.name in {":", "true", "test", "[", "read"})
            case AndOr():
                return all(map(self._only_prints, node.operands))
            case Compound():
                blocks = (*node.conditions, *node.bodies)
                return all(not background and self._only_prints(n) for block in blocks for n, background in block.items)
            case Opaque():
                return node.known
            case Pipeline() | Function():
                return False

    # --- what a statement is ---

    def _slice(self, node: Node) -> bytes:
        return self._text[node.start : node.end]

    def _whole(self, node: Node) -> bytes:
        """With its here-docs."""
        return self._text[node.start : max(node.end, node.whole_end)]

    def _reads(self, node: Node) -> bool:
        """Does it look at ``$?``, in a here-doc too?"""
        text = self._whole(node)
        return b"$?" in text or b"${?" in text

    def _is_program(self, node: Command) -> bool:
        name = node.name
        if name in NEUTRAL:
            return prints_to_file(node.redirects)
        if name is not None:
            return name in ACTING_BUILTINS or not (name in SHELL_WORDS or name in self._known.usage)
        return not _substitutes(node.words[0])

    def _acts(self, node: Node) -> bool:
        """Does it run a program, natively understood or not, whose effect is on the node?"""
        if isinstance(node, Pipeline):
            return not all(self._only_looks(part) for part in node.parts)
        if not isinstance(node, Command) or not node.words or self._is_native(node):
            return False
        return node.name in self._known.runs or self._is_program(node)

    def _is_or(self, node: AndOr) -> bool:
        first, second = node.operands
        return self._text[first.end : second.start].strip() == b"||"

    def _gives_up(self, node: Node) -> bool:
        """Is the failure of what stands before ``||`` only told, accepted, or the end?"""
        told = isinstance(node, Command) and (node.name == "logger" or self._harmless(node))
        return told or gives_up(node, self._known.enders)

    def _harmless(self, node: Command) -> bool:
        return node.name in {"true", "false", ":", "echo", "printf"} and self._text_target(node) is None

    def _only_looks(self, node: Node) -> bool:
        if not isinstance(node, Command) or prints_to_file(node.redirects):
            return False
        asks_name = node.name == "hostname" and all((w.literal or "").startswith("-") for w in node.words[1:])
        return asks_name or node.name in NEUTRAL or node.name in TEXT_COMMANDS

    def _acts_or_nothing(self, node: Node) -> bool:
        """A program, or a built-in without any effect on the shell (``|| true``, ``|| echo failed``)."""
        if isinstance(node, Command):
            return self._harmless(node) or (
                self._acts(node) and node.name not in self._known.runs and node.name is not None
            )
        return isinstance(node, Pipeline) and self._acts(node) and not self._calls_function(node)

    def _is_native(self, node: Command) -> bool:
        flags = rsync_flags(node)
        return (
            node.name in self._known.copies
            or self._text_target(node) is not None
            or (flags is not None and self._understood(flags))
        )

    def _calls_function(self, node: Node) -> bool:
        words = {w.decode(errors="replace") for w in self._slice(node).replace(b";", b" ").split()}
        return not words.isdisjoint(self._known.usage.keys() - self._known.copies.keys())

    def _text_target(self, node: Command) -> Word | None:
        """The file that ``cat``, ``echo`` or ``printf`` write to, if that is all there is to the statement."""
        if node.assigns or (node.name not in TEXT_COMMANDS and node.name != ":"):
            return None
        target = self._output_target(node.redirects)
        return None if target is None or self._uses(node, target) else target

    def _output_target(self, redirects: tuple[Redirect, ...]) -> Word | None:
        """The one file that standard output goes to, if nothing else is redirected that would have to be known."""
        out = [r for r in redirects if r.operator in {">", ">>", ">|"} and r.descriptor in {None, 1}]
        others = [r for r in redirects if r not in out]
        plain = all(r.operator in _INPUTS or (r.descriptor == 2 and r.operator in {">", ">>", ">&"}) for r in others)
        target = out[0].target if len(out) == 1 else None
        if self._noclobber and out and out[0].operator == ">":
            return None  # whether it may be written depends on what is there
        return target if plain and target is not None and not _substitutes(target) and not _globs(target) else None

    def _uses(self, node: Node, target: Word) -> bool:
        """Does it look at the file, or write to it on its own, that what it prints is for? The shell has emptied it by
        then (``cat /etc/a >/etc/a``). Text that only names the file (``echo "# /etc/a"``) does not."""
        name = target.text.strip(b"\"'")
        redirects = node.redirects if isinstance(node, Command | Compound) else ()
        others = [r.target for r in redirects if r.target is not None and r.target is not target]
        elsewhere = any(name in other.text for other in others)
        match node:
            case Command():
                prints = node.name in {"echo", "printf"}
                body = self._text[node.end : node.whole_end] if node.heredoc else b""
                read = name in body and (b"$(" in body or b"`" in body)
                return read or any(name in w.text for w in node.words[1:] if not prints or _substitutes(w)) or elsewhere
            case Opaque():
                return name in self._slice(node)
            case _:
                inner = [n for c in children(node) for n in ((i for i, _ in c.items) if isinstance(c, Block) else (c,))]
                return elsewhere or any(self._uses(n, target) for n in inner)

    def _tee_target(self, node: Pipeline) -> Word | None:
        first, last = node.parts[0], node.parts[-1]
        if len(node.parts) != 2 or not isinstance(first, Command) or not isinstance(last, Command):
            return None
        if first.name not in TEXT_COMMANDS or first.redirects or last.name != "tee" or last.assigns:
            return None
        operands = [w for w in last.words[1:] if w.text != b"-a"]
        if len(operands) != 1 or operands[0].text.startswith(b"-") or _substitutes(operands[0]):
            return None
        quoted = operands[0].text.startswith(b'"') or operands[0].literal is not None
        return operands[0] if quoted and all(r.operator == ">" for r in last.redirects) else None

    # --- writing ---

    def _insert(self, at: int, new: bytes) -> None:
        self._edits.append((at, at, new))

    def _statement(self, node: Node, phase: Phase, shown: bytes | None = None) -> int:
        text = self._slice(node)
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
        if len(node.words) < 2 or _substitutes(node.words[1]):
            return
        number = self._statement(node, Phase.EXECUTE, self._text[node.words[1].start : node.end])
        if self._known.runs[node.name or ""].logs:
            self._logged.add(number)
        self._open_gate(node, number, [node.words[1].text])

    def _copy(self, node: Command, call: CopyCall) -> None:
        number = self._statement(node, Phase.COPY)
        self._copies[number] = call
        self._insert(node.words[0].start, b"__na_cp %d " % number)

    def _place_text(self, node: Node, target: Word, phase: Phase) -> None:
        number = self._statement(node, phase)
        self._insert(node.start, b"{ __na_t=%s; __na_to %d; " % (target.text, number))
        self._edits.append((target.start, target.end, b'"$__na_o"'))
        self._insert(node.end, b"; __na_tx %d; }" % number)


def _negated(node: Pipeline) -> bool:
    """``! a | b``: ``set -e`` lets it fail, which it would not let a step's end."""
    first = node.parts[0]
    return isinstance(first, Compound) and first.kind == "negation"


def _names(node: Command) -> list[bytes] | None:
    """What the command may turn out to be: ``$SUDO cd /x`` is a ``cd`` while ``$SUDO`` is empty."""
    names: list[bytes] = []
    for word in node.words:
        if _substitutes(word):
            return None if not names or names[-1].startswith(b"$") else names
        names.append(word.text)
        if not word.text.startswith(b"$"):
            break
    return names


def _globs(word: Word) -> bool:
    """In a redirection's target bash expands these, an assignment does not."""
    text = _BRACED.sub(b"", word.text)
    return word.literal is None and text[:1] not in {b'"', b"'"} and any(c in text for c in b"*?[{~")


def _substitutes(word: Word) -> bool:
    return b"$(" in word.text or b"`" in word.text or b"<(" in word.text or b">(" in word.text
