"""One shell program, laid out for the rules: each statement with what stands around it."""

import bisect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from nodeagent.evaluate.annotations import Comment, comments
from nodeagent.evaluate.grammar import parse as parse_shell
from nodeagent.evaluate.syntax import Block, Command, Compound, Function, Node, Opaque, Script, Word
from nodeagent.lint.catalogue import RULES
from nodeagent.lint.finding import Finding, Severity
from nodeagent.lint.places import Place, walk
from nodeagent.lint.values import ROOT, expand

_SHELL_LINE = re.compile(rb"#!\s*\S*?(?:/env\s+(?:-S\s*)?)?(?:\S*/)?(?:busybox\s+)?(sh|bash|dash|ash)(?=\s|$)([^\n]*)")
_ASSIGNMENT = re.compile(rb"(?:(?:export|readonly|local|declare|typeset)\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)=(.*)", re.S)
_WRAPPERS = frozenset({"sudo", "command", "exec", "nohup", "env", "nice", "ionice", "eatmydata"})
# "$@" where a command begins, be it behind what runs one.
_RUNS = re.compile(
    rb"(?:^|[\n;&|({!]|\b(?:then|do|else|if|while|until|exec|time|command|env|nohup|nice|sudo|timeout[ \t]+\S+)[ \t])"
    rb'[ \t]*"\$(?:@|\{@\})"'
)
_DELETES = re.compile(rb"/d(?=[;'\"\s}]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A simple command as it is at last run: without ``sudo``, ``RUN`` and the like before it."""

    place: Place
    command: Command
    words: tuple[Word, ...]

    @property
    def name(self) -> str:
        return self.words[0].literal or ""

    @property
    def operands(self) -> tuple[Word, ...]:
        """The words that are no options."""
        return tuple(word for word in self.words[1:] if not word.text.startswith(b"-"))

    def has(self, letters: str, *names: str) -> bool:
        """Is one of these short options there, or one of the long ones (given with their dashes)?"""
        for word in self.words[1:]:
            option = (word.literal or word.text.decode(errors="replace")).partition("=")[0]
            if option in names or (re.fullmatch(r"-\w+", option) and set(option[1:]) & set(letters)):
                return True
        return False


@dataclass(frozen=True, kw_only=True)
class Program:
    """``file`` is relative to the repository. ``entry`` tells post.sh and what it sources, whose annotations are read.

    ``run`` tells a program that post.sh runs, as far as can be seen.
    """

    file: str
    text: bytes
    entry: bool
    run: bool = False
    sourced: Mapping[str, bytes] = field(default_factory=dict)  # functions that other files define for it
    script: Script = field(init=False)

    def __post_init__(self) -> None:
        script = (
            parse_shell(self.text, bash=self.shell == "bash")
            if self.shell
            else Script(text=self.text, block=Block(), error_line=1)
        )
        object.__setattr__(self, "script", script)

    # --- what it is ---

    @cached_property
    def shell(self) -> str:
        """The shell that its first line names; ``sh`` for text that names nothing; empty for what is no shell."""
        first = self.text.split(b"\n", 1)[0].rstrip(b"\r")
        match = _SHELL_LINE.match(first)
        if match:
            return match[1].decode()
        return "" if first.startswith(b"#!") or b"\0" in self.text[:8192] else "sh"

    @property
    def has_interpreter(self) -> bool:
        return self.text.startswith((b"#!", b"\x7fELF"))

    @cached_property
    def options(self) -> bytes:
        """All that sets the shell's options: the first line's and those of ``set``."""
        match = _SHELL_LINE.match(self.text.split(b"\n", 1)[0])
        words = [match[2].strip()] if match else []
        for call in self.calls("set"):
            words += [word.text for word in call.words[1:]]
        return b" ".join(words)

    @cached_property
    def errexit(self) -> bool:
        return bool(re.search(rb"(?:^|\s)-\w*e|errexit", self.options))

    @cached_property
    def traced(self) -> bool:
        return bool(re.search(rb"(?:^|\s)-\w*x|xtrace", self.options))

    # --- places ---

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every statement, in the order of the text."""
        return tuple(walk(self.script))

    @cached_property
    def substituted(self) -> tuple[Place, ...]:
        """Every statement in ``$( )`` and process substitutions."""
        found = self.script.substitutions
        return tuple(place for one in found for place in walk(replace(self.script, block=one.block)))

    @cached_property
    def _calls(self) -> tuple[Call, ...]:
        return tuple(
            Call(place=place, command=place.node, words=words)
            for place in self.places
            if isinstance(place.node, Command) and (words := self._unwrapped(place.node.words))
        )

    @cached_property
    def _calls_by_name(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self._calls:
            found.setdefault(call.name, []).append(call)
        return found

    def calls(self, *names: str) -> Iterator[Call]:
        """The commands of these names, or all; in the order of the text."""
        if not names:
            return iter(self._calls)
        chosen = [call for name in names for call in self._calls_by_name.get(name, ())]
        return iter(sorted(chosen, key=lambda call: call.command.start))

    def _unwrapped(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        while len(words) > 1 and (words[0].literal in _WRAPPERS or words[0].literal in self.runners):
            words = words[1:]
            while len(words) > 1 and (words[0].text.startswith(b"-") or re.match(rb"\w+=", words[0].text)):
                words = words[1:]
        return words

    @cached_property
    def functions(self) -> dict[str, tuple[Function, bytes]]:
        """The last definition of each function, with its text."""
        found = (place.node for place in self.places if isinstance(place.node, Function))
        return {node.name: (node, self.slice(node)) for node in found}

    @cached_property
    def runners(self) -> frozenset[str]:
        """The functions that run what they are given."""
        return frozenset(name for name, text in self.bodies.items() if _RUNS.search(text))

    @cached_property
    def bodies(self) -> dict[str, bytes]:
        """The text of each function that it may call."""
        return {**self.sourced, **{name: text for name, (_, text) in self.functions.items()}}

    def slice(self, node: Node) -> bytes:
        return self.script.whole(node)

    def guarded(self, place: Place, pattern: "re.Pattern[bytes]", seen: frozenset[str] = frozenset()) -> bool:
        """Is it reached only behind a condition that matches, here or wherever its function is called?"""
        if any(pattern.search(guard) for guard in place.guards):
            return True
        if not place.function or place.function in seen:
            return False
        calls = [call for call in self.calls(place.function) if call.command.name == place.function]
        return bool(calls) and all(self.guarded(call.place, pattern, seen | {place.function}) for call in calls)

    # --- values ---

    @cached_property
    def values(self) -> dict[str, str | None]:
        """The variables whose value is the same on every node and at every place."""
        own = f"{ROOT}/{self.file}"
        values: dict[str, str | None] = {"0": own, "BASH_SOURCE": own, "HOME": "/root"}
        given = set(values)
        for place in self.places:
            match = _ASSIGNMENT.fullmatch(self.slice(place.node).strip()) if isinstance(place.node, Opaque) else None
            if match:
                name = match[1].decode()
                value = expand(match[2], values)
                values[name] = value if name not in given or values[name] == value else None
                given.add(name)
        return values

    @cached_property
    def temporary(self) -> frozenset[bytes]:
        """The variables that are given what mktemp makes."""
        texts = (self.slice(place.node).strip() for place in self.places if isinstance(place.node, Opaque))
        matches = (_ASSIGNMENT.fullmatch(text) for text in texts if b"mktemp" in text)
        return frozenset(match[1] for match in matches if match and b"mktemp" in match[2])

    @cached_property
    def made(self) -> dict[bytes, int]:
        """Where each file, as it is written, is first made anew or taken away, or its old line taken out."""
        found: dict[bytes, int] = {}
        for place in self.places:
            node = place.node
            if isinstance(node, Command | Compound):
                for name in _made(node):
                    found.setdefault(name.strip(b"\"'"), node.start)
        return found

    def value(self, word: Word) -> str | None:
        return expand(word.text, self.values)

    # --- findings ---

    @cached_property
    def annotations(self) -> tuple[Comment, ...]:
        return comments(self.text, self.script.comments if self.script.error_line is None else None)

    def names_at(self, line: int) -> frozenset[str]:
        """The words of the annotations that speak of a line."""
        return self._names_by_line.get(line, frozenset())

    @cached_property
    def _names_by_line(self) -> dict[int, frozenset[str]]:
        found: dict[int, frozenset[str]] = {}
        for comment in self.annotations:
            found[comment.about] = found.get(comment.about, frozenset()) | comment.names
        return found

    @cached_property
    def _newlines(self) -> list[int]:
        return [match.start() for match in re.finditer(rb"\n", self.text)]

    def finding(
        self, id_: str, at: int, what: str, severity: Severity | None = None, *, why: str = "", fix: str = ""
    ) -> Finding:
        """A finding at an offset; the rule's entry in the catalogue adds why, and how to mend it, if not given."""
        rule = RULES[id_]
        begin = self.text.rfind(b"\n", 0, at) + 1
        return Finding(
            id=id_,
            severity=severity or rule.severity,
            file=self.file,
            line=bisect.bisect_left(self._newlines, at) + 1,
            column=len(self.text[begin:at].decode(errors="replace")) + 1,
            message=f"{what}: {why or rule.why}",
            fix=fix or rule.fix,
        )


def _made(node: Command | Compound) -> Iterator[bytes]:
    yield from (r.target.text for r in node.redirects if r.operator in {">", ">|"} and r.target)
    if not isinstance(node, Command) or len(node.words) < 2:
        return
    last, texts = node.words[-1].text, [word.text for word in node.words]
    if (
        node.name in {"rm", "cp", "mv", "install", "truncate", "COPY"}
        or (node.name == "tee" and not {b"-a", b"--append"} & set(texts))
        or (
            node.name == "sed"
            and re.search(rb"\s(?:-i|--in-place)", b" ".join(texts))
            and _DELETES.search(b" ".join(texts))
        )
    ):
        yield last
