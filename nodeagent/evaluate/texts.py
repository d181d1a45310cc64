"""The file that a statement prints to, when that is all there is to the statement: APPEND and WRITE."""

import re

from nodeagent.evaluate.redirects import overwrites
from nodeagent.evaluate.syntax import (
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
    children,
    substitutes,
)
from nodeagent.evaluate.usage import mentions_status
from nodeagent.evaluate.vocabulary import TEXT_COMMANDS
from nodeagent.model import Phase

_INPUTS = frozenset({"<", "<<", "<<-", "<<<"})
_BRACED = re.compile(rb"\$\{\w+\}")  # a parameter, not an expansion of braces
_NOCLOBBER = re.compile(rb"(?<![\w-])set\s+-\w*C|noclobber")
# A compound that is left in its middle never comes to the verb behind it.
_LEAVES = re.compile(rb"(?<![\w-])(?:return|break|continue|exit|exec)(?![\w-])")


def sets_noclobber(script: Script) -> bool:
    return _NOCLOBBER.search(script.text) is not None


class Texts:
    """Reads one text's statements; ``noclobber``: the program may set that option; ``jobs``: it starts
    any in the background."""

    def __init__(self, script: Script, *, noclobber: bool, jobs: bool) -> None:
        self._script = script
        self._jobs = jobs
        self._noclobber = noclobber

    def command(self, node: Command) -> tuple[Word, Phase] | None:
        """``cat``, ``echo``, ``printf`` or ``:`` with its output in a file."""
        target = self.command_target(node)
        if target is None or mentions_status(self._script, node):
            return None
        redirect = next(r for r in node.redirects if r.target is target)
        return target, Phase.APPEND if redirect.operator == ">>" else Phase.WRITE

    def output(self, node: Compound) -> tuple[Word, Phase] | None:
        """What a compound prints: ``{ echo a; hostname; } >/etc/b``."""
        target = self._output_target(node.redirects)
        if target is None or mentions_status(self._script, node):
            return None
        if _LEAVES.search(self._script.slice(node)) or self._uses(node, target) or starts_job(node):
            return None
        if overwrites(node.redirects) is target:
            return target, Phase.WRITE
        return (target, Phase.APPEND) if _appends(node.redirects, target) else None

    def call_target(self, node: Command) -> Word | None:
        """The file that what a function prints is appended to."""
        target = self._output_target(node.redirects)
        if target is None or not _appends(node.redirects, target) or mentions_status(self._script, node):
            return None
        return None if self._uses(node, target) or self._jobs else target

    def tee(self, node: Pipeline) -> tuple[Word, Phase] | None:
        """``echo a | tee FILE``, with ``-a`` or without."""
        target, last = self._tee_target(node), node.parts[-1]
        if target is None or not isinstance(last, Command) or mentions_status(self._script, node):
            return None
        return target, Phase.APPEND if b"-a" in [w.text for w in last.words] else Phase.WRITE

    def command_target(self, node: Command) -> Word | None:
        """The file that ``cat``, ``echo`` or ``printf`` write to, if that is all there is to the statement."""
        if node.assigns or (node.name not in TEXT_COMMANDS and node.name != ":"):
            return None
        target = self._output_target(node.redirects)
        return None if target is None or self._uses(node, target) else target

    def _tee_target(self, node: Pipeline) -> Word | None:
        first, last = node.parts[0], node.parts[-1]
        if len(node.parts) != 2 or not isinstance(last, Command) or last.name != "tee" or last.assigns:
            return None
        if not self._is_text(first):
            return None
        operands = [w for w in last.words[1:] if w.text != b"-a"]
        if len(operands) != 1 or operands[0].text.startswith(b"-") or substitutes(operands[0]):
            return None
        quoted = operands[0].text.startswith(b'"') or operands[0].literal is not None
        return operands[0] if quoted and all(r.operator == ">" for r in last.redirects) else None

    def _is_text(self, node: Node) -> bool:
        """Does it print for the next part of the pipeline, and is there nothing else to it?"""
        if isinstance(node, Command):
            return node.name in TEXT_COMMANDS and not node.assigns and _only_reads(node.redirects)
        return isinstance(node, Compound) and self._only_prints(node)

    def _output_target(self, redirects: tuple[Redirect, ...]) -> Word | None:
        """The one file that standard output goes to, if nothing else is redirected that would have to be known."""
        out = [r for r in redirects if r.operator in {">", ">>", ">|"} and r.descriptor in {None, 1}]
        others = [r for r in redirects if r not in out]
        plain = all(r.operator in _INPUTS or (r.descriptor == 2 and r.operator in {">", ">>", ">&"}) for r in others)
        target = out[0].target if len(out) == 1 else None
        if self._noclobber and out and out[0].operator == ">":
            return None  # whether it may be written depends on what is there
        return target if plain and target is not None and not substitutes(target) and not _globs(target) else None

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
                body = self._script.text[node.end : node.whole_end] if node.heredoc else b""
                read = name in body and (b"$(" in body or b"`" in body)
                return read or any(name in w.text for w in node.words[1:] if not prints or substitutes(w)) or elsewhere
            case Opaque():
                return name in self._script.slice(node)
            case _:
                inner = [n for c in children(node) for n in ((i for i, _ in c.items) if isinstance(c, Block) else (c,))]
                return elsewhere or any(self._uses(n, target) for n in inner)

    def _only_prints(self, node: Node) -> bool:
        match node:
            case Command():
                known = node.name in TEXT_COMMANDS or node.name in {":", "true", "test", "[", "read"}
                return known and _only_reads(node.redirects)
            case AndOr():
                return all(map(self._only_prints, node.operands))
            case Compound():
                inner = [item for block in (*node.conditions, *node.bodies) for item in block.items]
                return _only_reads(node.redirects) and all(not job and self._only_prints(n) for n, job in inner)
            case Opaque():
                return node.known
            case Pipeline() | Function():
                return False


def starts_job(node: Node | Block) -> bool:
    """Does a job in the background stand anywhere in it? What that prints may come at any time."""
    if isinstance(node, Block):
        return any(background or starts_job(item) for item, background in node.items)
    return any(starts_job(child) for child in children(node))


def _appends(redirects: tuple[Redirect, ...], target: Word) -> bool:
    return any(r.operator == ">>" and r.target is target for r in redirects)


def _only_reads(redirects: tuple[Redirect, ...]) -> bool:
    return all(r.operator in _INPUTS for r in redirects)


def _globs(word: Word) -> bool:
    """In a redirection's target bash expands these, an assignment does not."""
    text = _BRACED.sub(b"", word.text)
    return word.literal is None and text[:1] not in {b'"', b"'"} and any(c in text for c in b"*?[{~")
