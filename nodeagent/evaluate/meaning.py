"""What a statement is: a native verb, a step, or the shell's own business."""

import re
from collections.abc import Set
from dataclasses import dataclass

from nodeagent.evaluate.copy_function import CopyFunction, Understood
from nodeagent.evaluate.functions import Functions, rsync_flags
from nodeagent.evaluate.leaving import LOOPS, gives_up
from nodeagent.evaluate.outputs import Output, of_tee
from nodeagent.evaluate.redirects import is_bashism, output_files, overwrites, prints_to_file
from nodeagent.evaluate.sources import is_kept_by_variable, may_be_asked_twice
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
from nodeagent.evaluate.texts import Texts
from nodeagent.evaluate.usage import mentions_status
from nodeagent.evaluate.vocabulary import ACTING_BUILTINS, NEUTRAL, SHELL_WORDS, TEXT_COMMANDS
from nodeagent.model.evaluation import Phase

_ASKS_NAME = re.compile(rb"-[sfdiIAay]+|--(?:short|fqdn|long|domain|ip-address|all-ip-addresses|all-fqdns|alias)")
_NAMES_A_JOB = re.compile(rb"\"?\$(?!\$)|%")  # $pid, not $$


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCall:
    """How the agent reads the arguments of a COPY: ``None`` for a bare ``rsync``, whose flags are in its arguments."""

    function: CopyFunction | None
    flags: tuple[str, ...]


class Meaning:
    """Reads one program's statements, in the light of its functions."""

    def __init__(self, script: Script, known: Functions, understood: Understood, texts: Texts) -> None:
        self._script = script
        self._known = known
        self._understood = understood
        self.texts = texts

    def of(self, script: Script) -> "Meaning":
        """The same for another text of the program."""
        return Meaning(script, self._known, self._understood, self.texts.of(script))

    def slice(self, node: Node) -> bytes:
        return self._script.slice(node)

    def reads(self, node: Node) -> bool:
        return mentions_status(self._script, node)

    def is_program(self, node: Command) -> bool:
        name = node.name
        if name in NEUTRAL or (_asks_name(node) and name not in self._known.usage):
            return prints_to_file(node.redirects)
        if name in ACTING_BUILTINS:  # a job of the program's own, which always runs, always has its end too
            return not (self._known.waited and any(_NAMES_A_JOB.match(word.text) for word in node.words[1:]))
        if name is not None:
            return not (name in SHELL_WORDS or name in self._known.usage)
        return not substitutes(node.words[0])

    def acts(self, node: Node) -> bool:
        """Does it run a program, natively understood or not, whose effect is on the node?"""
        if isinstance(node, Pipeline):
            placed = {id(output.word) for output in self.texts.pipeline(node)}
            return not all(self._only_prints(part, placed) for part in node.parts)
        if not isinstance(node, Command) or not node.words or self.is_native(node):
            return False
        return node.name in self._known.runs or self.is_program(node)

    def outputs(self, node: Node) -> tuple[Output, ...]:
        """The files that the agent may place what a command or a pipeline prints into."""
        if isinstance(node, Pipeline):
            return self.texts.pipeline(node)
        if not isinstance(node, Command) or is_bashism(node.redirects):
            return ()
        if node.name not in self._known.usage or node.name in self._known.runs:
            return self.texts.command(node)
        return () if node.assigns else self.texts.call(node)

    def aside(self, node: Node, *, loops: int = 0, brief: bool = False) -> tuple[Output, ...]:
        """Those that it may append to for a process beside the shell's own, or for a text that is read later.

        Args:
            node: what prints.
            loops: are around it.
            brief: the process may live longer than the agent, which then takes only what is printed at once.
        """
        if isinstance(node, Compound):
            found = () if is_bashism(node.redirects) else self.texts.compound(node, loops=loops)
        else:
            found = self.outputs(node)
        if brief and not (isinstance(node, Command) and _is_brief(node)):
            return ()
        return tuple(o for o in found if o.phase is Phase.APPEND and not o.is_log)

    def prints(self, node: Command) -> bool:
        """Is there nothing to a command but what it prints, or a built-in does it or a function?"""
        if node.name in self._known.runs:
            return False
        known = TEXT_COMMANDS | NEUTRAL | SHELL_WORDS | {"tee"}
        return node.name in known or node.name in self._known.usage

    def _only_prints(self, node: Node, placed: Set[int]) -> bool:
        """Is there nothing to a part of a pipeline but what it prints, into nothing but the files that are placed?"""
        if not isinstance(node, Command):
            return (bool(placed) and self.texts.is_text(node)) or self._appends(node)
        if node.name in self._known.usage:
            return False
        files = [*output_files(node.redirects), *(output.word for output in of_tee(node))]
        if node.name == "tee":
            return bool(files) and all(id(word) in placed for word in files)
        return self.only_looks(node) or (
            self._looks(node) and bool(files) and all(id(word) in placed for word in files)
        )

    def _appends(self, node: Node) -> bool:
        """Does it look and print, into files that are appended to aside, and nothing else?"""
        found: list[Output] = []
        return self._only_appends(node, found) and bool(found)

    def _only_appends(self, node: Node, found: list[Output], loops: int = 0) -> bool:
        if isinstance(node, AndOr):
            return all(self._only_appends(operand, found, loops) for operand in node.operands)
        if isinstance(node, Opaque):
            return node.known
        if not isinstance(node, Command | Compound):
            return False
        outputs = self.aside(node, loops=loops)
        found += outputs
        if not {id(word) for word in output_files(node.redirects)} <= {id(o.word) for o in outputs}:
            return False
        if isinstance(node, Command):
            known = self._looks(node) or node.name in {":", "true", "test", "[", "read", "break", "continue"}
            return known and node.name not in self._known.usage
        inner = loops + (node.kind in LOOPS)
        items = [item for block in (*node.conditions, *node.bodies) for item in block.items]
        return all(not job and self._only_appends(item, found, inner) for item, job in items)

    def accepts_failure(self, node: AndOr) -> bool:
        """``a || b``, where the failure of ``a`` is only told, accepted, or the end?"""
        if len(node.operands) != 2:
            return False
        first, second = node.operands
        is_or = self._script.text[first.end : second.start].strip() == b"||"
        return is_or and self._gives_up(second)

    def _gives_up(self, node: Node) -> bool:
        told = isinstance(node, Command) and (node.name == "logger" or self.harmless(node))
        return told or gives_up(node, self._known.enders)

    def harmless(self, node: Command) -> bool:
        return node.name in {"true", "false", ":", "echo", "printf"} and not self.texts.command(node)

    def only_looks(self, node: Node) -> bool:
        return isinstance(node, Command) and not prints_to_file(node.redirects) and self._looks(node)

    def _looks(self, node: Command) -> bool:
        return _asks_name(node) or node.name in NEUTRAL or node.name in TEXT_COMMANDS

    def acts_or_nothing(self, node: Node) -> bool:
        """A program, or a built-in without any effect on the shell (``|| true``, ``|| echo failed``)."""
        if isinstance(node, Command):
            return self.harmless(node) or (
                self.acts(node) and node.name not in self._known.runs and node.name is not None
            )
        return isinstance(node, Pipeline) and self.acts(node) and not self.calls_function(node)

    def is_native(self, node: Command) -> bool:
        flags = rsync_flags(node)
        return (
            node.name in self._known.copies
            or (self.prints(node) and bool(self.outputs(node)))
            or (flags is not None and self._understood(flags))
        )

    def copy_call(self, node: Command) -> CopyCall | None:
        """A COPY, by a function or by a bare ``rsync``."""
        function = self._known.copies.get(node.name or "")
        if function is not None and not node.assigns:
            return CopyCall(function=function, flags=function.flags)
        if node.name in self._known.usage:
            return None
        flags = rsync_flags(node)
        return CopyCall(function=None, flags=flags) if flags is not None and self._understood(flags) else None

    def sources(self, node: Command) -> bool:
        """Is it a ``.`` whose file can be looked at before it is read?"""
        if node.name not in {".", "source"} or len(node.words) < 2 or node.assigns:
            return False
        plain = not is_bashism(node.redirects) and overwrites(node.redirects) is None
        return plain and (may_be_asked_twice(node.words[1].text) or is_kept_by_variable(node.words[1]))

    def may_start(self, node: Node) -> bool:
        """Is it a job that can be started in the background, or not, without the shell's noticing?"""
        if isinstance(node, Function | Opaque) or self._known.waited:
            return False
        return not isinstance(node, Command) or not (node.name in SHELL_WORDS or node.name in NEUTRAL)

    def calls_function(self, node: Node) -> bool:
        words = {w.decode(errors="replace") for w in self.slice(node).replace(b";", b" ").split()}
        return not words.isdisjoint(self._known.usage.keys() - self._known.copies.keys())

    def counts(self, condition: Block) -> bool:
        """Is the loop driven by its own input or counting? Else it waits for the world, and its body must run."""
        for node, _ in condition.items:
            if isinstance(node, Command) and node.name in {"read", "getopts", ":", "true", "[", "test"}:
                continue
            if isinstance(node, Opaque) and node.kind in {"test_command", "arithmetic"}:
                text = self.slice(node)
                if not any(flag in text.split() for flag in (b"-%c" % c for c in b"abcdefghkprsuwxLNOS")):
                    continue
            return False
        return True


def _is_brief(node: Command) -> bool:
    """Is it ``echo``, ``printf``, or a ``cat`` that has its text at hand? Another may wait for its input."""
    return node.name in {"echo", "printf", ":"} or (node.name == "cat" and node.heredoc and len(node.words) == 1)


def _asks_name(node: Command) -> bool:
    """``hostname -s``: with an operand, or ``-F``, it sets the name."""
    return node.name == "hostname" and all(_ASKS_NAME.fullmatch(word.text) for word in node.words[1:])


def names(node: Command) -> list[bytes] | None:
    """What the command may turn out to be: ``$SUDO cd /x`` is a ``cd`` while ``$SUDO`` is empty."""
    names: list[bytes] = []
    for word in node.words:
        if substitutes(word):
            return None if not names or names[-1].startswith(b"$") else names
        names.append(word.text)
        if not word.text.startswith(b"$"):
            break
    return names
