"""The files that a statement prints to, when the agent can place what it prints: APPEND and WRITE.

What a statement of any kind adds to a file (``>>FILE``, ``tee -a FILE``) is a text. Of what replaces a file's content
only that of compounds, ``tee``, ``cat``, ``echo`` and ``printf`` is one: a program that runs again writes it again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from nodeagent.evaluate.leaving import loses_track
from nodeagent.evaluate.outputs import INPUTS, Output, of_tee, redirected
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
    children,
    substitutes,
)
from nodeagent.evaluate.vocabulary import LEAVING, TEXT_COMMANDS
from nodeagent.model.evaluation import Phase

_NOCLOBBER = re.compile(rb"(?<![\w-])set\s+-\w*C|noclobber")
_PARALLEL = re.compile(rb"[<>]\(|\bcoproc\b")
_TRACES = re.compile(rb"(?<![\w-])set\s[^;&|\n]*-\w*x|xtrace|\A#![^\n]*\s-\w*x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a program may do that decides about texts anywhere in it.

    ``noclobber``: set that option; ``jobs``: start any in the background; ``parallel``: run anything that it need not
    wait for; ``separators``: set ``IFS``; ``traced``: trace itself (``set -x``).
    """

    noclobber: bool = False
    jobs: bool = False
    parallel: bool = False
    separators: bool = False
    traced: bool = False

    @classmethod
    def of(cls, scripts: Iterable[Script]) -> Self:
        found = list(scripts)
        jobs = any(starts_job(script.block) for script in found)
        jobs |= any(starts_job(sub.block) for script in found for sub in script.substitutions)
        return cls(
            noclobber=any(_NOCLOBBER.search(script.text) for script in found),
            jobs=jobs,
            parallel=jobs or any(_PARALLEL.search(script.text) for script in found),
            separators=any(b"IFS=" in script.text for script in found),
            traced=any(_TRACES.search(script.text) for script in found),
        )


class Texts:
    """Reads one text's statements."""

    def __init__(self, script: Script, traits: Traits) -> None:
        self._script = script
        self._traits = traits
        self._jobs = traits.jobs
        self._noclobber = traits.noclobber
        self._separators = traits.separators
        self.traced = traits.traced
        self.parallel = traits.parallel

    def of(self, script: Script) -> "Texts":
        """The same for another text of the program."""
        return Texts(script, self._traits)

    def command(self, node: Command) -> tuple[Output, ...]:
        """The files that a command other than a function prints to."""
        words = [w.literal for w in node.words[:2]]
        if not words or words[0] in LEAVING or (words[0] in {"command", "builtin"} and words[-1] in LEAVING):
            return ()
        found = self._of_command(node)
        if node.name not in TEXT_COMMANDS | {":", "tee"}:
            found = tuple(o for o in found if o.phase is Phase.APPEND and not o.is_log)
        return () if self._uses_any(node, found) else found

    def compound(self, node: Compound, *, loops: int = 0) -> tuple[Output, ...]:
        """Those that what a compound prints goes to: ``{ echo a; hostname; } >/etc/b``. ``loops`` are around it."""
        found = redirected(node.redirects, noclobber=self._noclobber) or ()
        if overwrites(node.redirects) is None and any(o.phase is Phase.WRITE for o in found):
            return ()  # a log
        if not found or loses_track(self._script, node, loops) or self._uses_any(node, found) or starts_job(node):
            return ()
        return found

    def call(self, node: Command) -> tuple[Output, ...]:
        """Those that what a function prints is appended to."""
        found = redirected(node.redirects, noclobber=self._noclobber) or ()
        if self._jobs or any(o.phase is not Phase.APPEND for o in found) or self._uses_any(node, found):
            return ()
        return found

    def pipeline(self, node: Pipeline) -> tuple[Output, ...]:
        """Those that the parts of a pipeline append to; and ``echo a | tee FILE``."""
        found: list[Output] = []
        for part in node.parts:
            if isinstance(part, Command):
                found += self._of_command(part)
            elif isinstance(part, Compound):
                found += redirected(part.redirects, noclobber=self._noclobber) or ()
        text = len(node.parts) == 2 and self.is_text(node.parts[0]) and of_tee_only(node.parts[1])
        outputs = tuple(o for o in found if o.phase is Phase.APPEND or text)
        if not text:
            outputs = tuple(o for o in outputs if not o.is_log)
        return () if self._uses_any(node, outputs) else outputs

    def is_text(self, node: Node) -> bool:
        """Does it print for the next part of the pipeline, and is there nothing else to it?"""
        if isinstance(node, Command):
            return node.name in TEXT_COMMANDS and not node.assigns and _only_reads(node.redirects)
        return isinstance(node, Compound) and self._only_prints(node)

    def _of_command(self, node: Command) -> tuple[Output, ...]:
        to_files = redirected(node.redirects, noclobber=self._noclobber)
        if to_files is None:
            return ()
        of_operands = of_tee(node)
        if of_operands and not any(o.phase is Phase.APPEND for o in to_files):
            to_files = ()  # /dev/null, and what it writes anew each time
        found = (*to_files, *of_operands)
        return () if self._separators and any(o.split for o in found) else found

    def _uses_any(self, node: Node, outputs: tuple[Output, ...]) -> bool:
        return any(self._uses(node, output, outputs) for output in outputs)

    def _uses(self, node: Node, output: Output, outputs: tuple[Output, ...]) -> bool:
        """Does it look at the file, or write to it on its own, that what it prints is for? The shell has emptied it by
        then (``cat /etc/a >/etc/a``). Text that only names the file (``echo "# /etc/a"``) does not."""
        name = output.word.text.strip(b"\"'")
        own = {id(o.word) for o in outputs}
        redirects = node.redirects if isinstance(node, Command | Compound) else ()
        others = [r.target for r in redirects if r.target is not None and id(r.target) not in own]
        elsewhere = any(name in other.text for other in others)
        match node:
            case Command():
                prints = node.name in {"echo", "printf"}
                body = self._script.documents(node)
                read = name in body and (b"$(" in body or b"`" in body)
                words = [w for w in node.words[1:] if id(w) not in own]
                return read or any(name in w.text for w in words if not prints or substitutes(w)) or elsewhere
            case Opaque():
                return name in self._script.slice(node)
            case _:
                inner = [n for c in children(node) for n in ((i for i, _ in c.items) if isinstance(c, Block) else (c,))]
                return elsewhere or any(self._uses(n, output, outputs) for n in inner)

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


def of_tee_only(node: Node) -> bool:
    """``tee FILE...`` with nothing else to it than where its own output goes."""
    return isinstance(node, Command) and bool(of_tee(node)) and all(r.operator in {">", ">>"} for r in node.redirects)


def starts_job(node: Node | Block) -> bool:
    """Does a job in the background stand anywhere in it? What that prints may come at any time."""
    if isinstance(node, Block):
        return any(background or starts_job(item) for item, background in node.items)
    return any(starts_job(child) for child in children(node))


def _only_reads(redirects: tuple[Redirect, ...]) -> bool:
    return all(r.operator in INPUTS for r in redirects)
