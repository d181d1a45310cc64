"""The repository as the rules see it: its programs, what post.sh runs, and what it copies where."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from nodeagent.apply import rsync
from nodeagent.evaluate import rsync_words
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.sources import sourced
from nodeagent.evaluate.statements import Instrumented
from nodeagent.evaluate.syntax import Word
from nodeagent.lint.program import Call, Program
from nodeagent.lint.tree import Kind, Tree
from nodeagent.lint.values import ROOT, expand, within
from nodeagent.model.evaluation import Phase

ENTRY = "post.sh"
SCRIPTS = "postscripts"
_SHELLS = frozenset({"sh", "bash", "dash", "ash"})
_SOURCING = frozenset({".", "source"})
_COPYING = re.compile(rb"\b(?:rsync|cp)\b")
_COPIES_ALL = re.compile(rb'\b(?:rsync|cp)\b[^\n;|&]*"\$(?:@|\{@\})"')
_PARAMETER = re.compile(rb"\$\{?([12])\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One source of a copying statement. ``path`` is its place in the repository if that is known.

    ``contents``: the source is written with a trailing slash, so that what it holds is copied.
    """

    call: Call
    source: Word
    path: str | None
    contents: bool
    destination: str | None
    several: bool
    sets_mode: bool

    def places(self, tree: Tree) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each file that is copied, with the destinations that it may get."""
        if self.path is None:
            return
        base = "" if self.contents else posixpath.basename(self.path)
        found = tree.file(self.path)
        if found:
            yield found[0], self._under(base, whole=True)
            return
        directory = tree.resolve(self.path)
        if directory is None:
            return
        for path, _ in tree.below(directory):
            if tree.file(path):
                yield path, self._under(posixpath.join(base, posixpath.relpath(path, directory or ".")), whole=False)

    def _under(self, name: str, *, whole: bool) -> tuple[str, ...]:
        if self.destination is None:
            return ()
        joined = posixpath.normpath(posixpath.join(self.destination, name))
        if not whole or self.several or self.destination.endswith("/"):
            return (joined,)
        return (posixpath.normpath(self.destination), joined)  # a directory may stand there


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A call of a program: of a file of the repository if ``path`` is set, else by a bare name."""

    caller: Program
    call: Call
    name: str
    path: str | None


@dataclass(frozen=True, kw_only=True)
class Repository:
    tree: Tree
    unread: list[str] = field(default_factory=list)  # programs that could not be read
    _directories: dict[str, dict[int, str | None]] = field(default_factory=dict, init=False, repr=False)

    # --- programs ---

    @cached_property
    def entries(self) -> tuple[Program, ...]:
        """post.sh, and what it sources."""
        found: dict[str, Program] = {}
        pending = [ENTRY]
        while pending:
            path = pending.pop(0)
            located = self.tree.file(path)
            if located is None or located[0] in found:
                continue
            file, content = located[0], located[1].content
            if content is None:
                self.unread.append(file)
                continue
            found[file] = program = Program(file=file, text=content, entry=True)
            pending += [p for call in program.calls(*_SOURCING) if (p := self._sourced(program, call))]
        if len(found) == 1:
            return tuple(found.values())
        shared = {name: text for program in found.values() for name, text in program.bodies.items()}
        return tuple(replace(program, sourced=shared) for program in found.values())

    def _sourced(self, program: Program, call: Call) -> str | None:
        return self.locate(program, call, call.words[1]) if len(call.words) > 1 else None

    @cached_property
    def scripts(self) -> tuple[Program, ...]:
        """Everything in postscripts/, and what else of the repository post.sh runs."""
        run = {found[0] for r in self.runs if r.path and (found := self.tree.file(r.path))}
        names = {path for path, _ in self.tree.below(SCRIPTS)} | run
        programs: dict[str, Program] = {}
        for name in sorted(names):
            found = self.tree.file(name)
            if found is None or any(found[0] == entry.file for entry in self.entries) or found[0] in programs:
                continue
            if found[1].content is None:
                self.unread.append(found[0])
            elif not posixpath.basename(name).startswith(".git"):
                text = found[1].content
                programs[found[0]] = Program(file=found[0], text=text, entry=False, run=found[0] in run)
        return tuple(programs.values())

    @property
    def programs(self) -> tuple[Program, ...]:
        return (*self.entries, *self.scripts)

    # --- what post.sh runs ---

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        return tuple(
            run for program in self.entries for call in program.calls() if (run := self._run(program, call)) is not None
        )

    def runs_of(self, file: str) -> list[Run]:
        return [run for run in self.runs if run.path and (self.tree.file(run.path) or ("",))[0] == file]

    def _run(self, program: Program, call: Call) -> Run | None:
        words = call.words
        if words[0].literal in _SHELLS and len(words) > 1:
            words = words[1:]
            while len(words) > 1 and re.fullmatch(r"-[efuxvh]+", words[0].literal or ""):
                words = words[1:]
            if words[0].text.startswith(b"-") or "/" not in (program.value(words[0]) or ""):
                return None
        name = program.value(words[0])
        if not name or name in program.bodies or name in _SOURCING:
            return None
        if "/" in name:
            path = self.locate(program, call, words[0])
            return Run(caller=program, call=call, name=name, path=path) if path else None
        in_scripts = f"{SCRIPTS}/{name}"
        if self.tree.exists(in_scripts):
            return Run(caller=program, call=call, name=name, path=in_scripts)
        return Run(caller=program, call=call, name=name, path=None) if call.words is not call.command.words else None

    # --- what is copied ---

    @cached_property
    def copies(self) -> tuple[tuple[Program, Copy], ...]:
        return tuple(
            (program, copy)
            for program in self.entries
            for call in program.calls()
            for copy in self._copy(program, call)
        )

    def _copy(self, program: Program, call: Call) -> Iterator[Copy]:
        if call.name in program.bodies:
            body = program.bodies[call.name]
            if not copies_arguments(program, call.name) or (len(call.words) != 3 and not _COPIES_ALL.search(body)):
                return
            operands: tuple[Word, ...] = call.words[1:]
            sets_mode = b"--chmod" in body or b'cp -p "$2"' in body  # a MERGE keeps its destination's mode
        elif call.name == "rsync":
            parts = rsync_words.split(call.command)
            if parts is None:
                return
            operands, sets_mode = parts[1], call.has("", "--chmod")
        elif call.name == "cp":
            operands, sets_mode = call.operands, False
            if call.has("t", "--target-directory"):
                return
        else:
            return
        if len(operands) < 2:
            return
        for source in (word for word in operands[:-1] if word.literal != "-"):
            value = program.value(source)
            yield Copy(
                call=call,
                source=source,
                path=self.locate(program, call, source),
                contents=(value or "").endswith(("/", "/.")),
                destination=program.value(operands[-1]),
                several=len(operands) > 2,
                sets_mode=sets_mode,
            )

    # --- where ---

    def locate(self, program: Program, call: Call, word: Word) -> str | None:
        """Where in the repository a word of a command leads."""
        return within(program.value(word), self.directory(program, call))

    def directory(self, program: Program, call: Call) -> str | None:
        """Where post.sh stands at this command, if that is known; nodeagent starts it at the repository's top."""
        if program.file not in self._directories:
            self._directories[program.file] = _follow(program) if program.file == ENTRY else {}
        return self._directories[program.file].get(call.command.start)

    # --- as the agent sees it ---

    @cached_property
    def native(self) -> dict[tuple[str, Phase], frozenset[int]]:
        """The lines on which the agent takes over a statement, by file and phase."""
        return {
            (program.file, phase): frozenset(
                s.line for s in self.instrumented.statements if s.phase is phase and s.file == program.file
            )
            for program in self.entries
            for phase in Phase
        }

    @cached_property
    def instrumented(self) -> Instrumented:
        """post.sh, and what it sources."""

        def read(name: str) -> bytes | None:
            found = self.tree.file(name)
            return found[1].content if found else None

        def names() -> Iterator[str]:
            return (n for n, e in self.tree.entries.items() if e.kind is Kind.FILE or self.tree.file(n))

        entry = self.entries[0]
        found = sourced(entry.script, entry.file, names, read)
        return instrument(entry.script, entry.file, lambda words: rsync.parse(words) is not None, found)


def _follow(program: Program) -> dict[int, str | None]:
    """The directory at each command, by its offset: each subshell, function and pipeline part has its own."""
    at: dict[int, str | None] = {}
    current: dict[tuple[int, ...], str | None] = {(): ROOT}
    for call in program.calls():
        scope = call.place.scope
        if scope not in current:
            known = next(scope[:n] for n in range(len(scope), -1, -1) if scope[:n] in current)
            current[scope] = None if call.place.function else current[known]
        at[call.command.start] = current[scope]
        if call.name in {"pushd", "popd"}:
            current[scope] = None
        elif call.name in {"cd", "chdir"} and not call.place.function:
            current[scope] = _changed(program, call, current[scope])
    return at


def _changed(program: Program, call: Call, here: str | None) -> str | None:
    operands = [word for word in call.words[1:] if word.literal not in {"-P", "-L", "--"}]
    value = expand(operands[0].text, program.values) if len(operands) == 1 else None
    if not value or value == "-" or (call.place.conditional and not call.place.scope):
        return None
    if value.startswith(("/", ROOT)):
        return value
    return f"{here}/{value}" if here is not None else None


def copies_arguments(program: Program, name: str) -> bool:
    """Is it a function that copies its first argument to its second one, in whatever way?"""
    text = program.bodies[name]
    named = {m.group(1) for m in _PARAMETER.finditer(text)}
    return bool(_COPYING.search(text)) and (named == {b"1", b"2"} or (not named and bool(_COPIES_ALL.search(text))))
