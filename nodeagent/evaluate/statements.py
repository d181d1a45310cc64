"""The steps that a program's text holds, numbered as the text names them."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from nodeagent.evaluate.meaning import CopyCall
from nodeagent.evaluate.outputs import Output
from nodeagent.evaluate.syntax import Script
from nodeagent.evaluate.usage import Dots
from nodeagent.model.evaluation import Phase, Statement

_REPORT_LENGTH = 200
_ASIDE = "it is sourced where its status or output is used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrumented:
    """``statements[n]`` is the step that the text names by the number ``n``.

    Sets of such numbers: ``logged``, whose own function logs what runs; ``lists``, which ``set -e`` may let fail;
    ``heard``, a COPY whose error text goes to a file; ``fresh``, a COPY or WRITE whose file something edits that always
    runs, so that the verb has to put its own text first; ``editing``, which do nothing but edit files in place;
    ``split``, where the shell may split a file's name into several. ``texts`` are, by file, the places of the words
    that name the files of texts. ``scripts`` are the program and the files that it may source, by name; ``sourced`` the
    texts of those that are instrumented; ``left`` says of the others why the shell reads them as they are; ``dots`` say
    where (file, line) which of them may be meant.
    ``turns``: several processes may ask the agent at the same time, and have to take turns.
    ``whole`` says why the program is to be run as one step; then ``text`` is as given.
    """

    text: bytes
    file: str = "post.sh"
    statements: tuple[Statement, ...] = ()
    copies: dict[int, CopyCall] = field(default_factory=dict)
    logged: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()
    fresh: frozenset[int] = frozenset()
    editing: frozenset[int] = frozenset()
    heard: frozenset[int] = frozenset()
    split: frozenset[int] = frozenset()
    turns: bool = False
    texts: Mapping[str, Set[int]] = field(default_factory=dict)
    dots: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    sourced: Mapping[str, bytes] = field(default_factory=dict)
    scripts: Mapping[str, Script] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    whole: str = ""


class Statements:
    """Collects the statements of a program and of what it sources."""

    def __init__(self, entry: str) -> None:
        self.entry = entry  # the program's own file
        self._found: list[Statement] = []
        self._seen: Counter[tuple[str, bytes]] = Counter()
        self.copies: dict[int, CopyCall] = {}
        self.logged: set[int] = set()
        self.lists: set[int] = set()
        self.fresh: set[int] = set()
        self.editing: set[int] = set()
        self.heard: set[int] = set()
        self.split: set[int] = set()
        self.aside = False  # is there a text that is printed beside the shell?
        self.parallel = False  # may two processes ask at the same time?
        self.texts: dict[str, set[int]] = {}  # where the words stand that name their files, by their own file
        self.repeated: set[bytes] = set()  # paths that something writes to which always runs
        self.reset: set[bytes] = set()  # those of them that lose by it what they held
        self.opened: dict[str, set[str]] = {}  # by file, those that a '.' of it may open with their steps

    def placed(self, file: str, outputs: Sequence[tuple[int, Output]], *, aside: bool = False) -> None:
        """The agent is to place texts; ``aside``: those of another process than the shell's own."""
        self.texts.setdefault(file, set()).update(output.word.start for _, output in outputs)
        self.split |= {number for number, output in outputs if output.split}
        self.aside |= aside

    def count(self) -> int:
        """How many texts there are so far."""
        return sum(map(len, self.texts.values()))

    def add(
        self, file: str, text: bytes, line: int, phase: Phase, *, shown: bytes | None = None, asked: bool = False
    ) -> int:
        """A statement of this file; ``shown`` is the part of it that reports show. Returns its number."""
        self._seen[file, text] += 1
        identity = b"\0".join((file.encode(errors="surrogateescape"), text, b"%d" % self._seen[file, text]))
        words = " ".join((shown or text).decode(errors="replace").split())
        self._found.append(
            Statement(
                number=len(self._found),
                key=hashlib.sha256(identity).hexdigest()[:32],
                file=file,
                line=line,
                phase=phase,
                text=words if len(words) <= _REPORT_LENGTH else words[: _REPORT_LENGTH - 1] + "…",
                last_line=line + text.count(b"\n"),
                asked=asked,
            )
        )
        return len(self._found) - 1

    def instrumented(
        self,
        file: str,
        scripts: Mapping[str, Script],
        texts: Mapping[str, bytes],
        dots: Dots,
        unreadable: Mapping[str, str],
    ) -> Instrumented:
        """The program's file, and what it sources.

        Args:
            file: the program's.
            scripts: all, as they were read.
            texts: of those that can be instrumented.
            dots: see :class:`nodeagent.evaluate.sources.Sourced`.
            unreadable: why the others cannot.
        """
        opened = self._reached_from(file)
        aside = dict.fromkeys((name for name in texts if name not in opened), _ASIDE)
        return Instrumented(
            text=texts[file],
            file=file,
            statements=tuple(self._found),
            copies=self.copies,
            logged=frozenset(self.logged),
            lists=frozenset(self.lists),
            fresh=frozenset(self.fresh),
            editing=frozenset(self.editing),
            heard=frozenset(self.heard),
            split=frozenset(self.split),
            turns=self.aside and self.parallel,
            texts=self.texts,
            dots=tuple((name, _line(scripts[name].text, at), files) for (name, at), files in dots.items()),
            sourced={name: text for name, text in texts.items() if name != file and name in opened},
            scripts=scripts,
            left={**unreadable, **aside},
        )

    def _reached_from(self, file: str) -> set[str]:
        found, pending = {file}, [file]
        while pending:
            new = self.opened.get(pending.pop(), set()) - found
            found |= new
            pending += new
        return found


def _line(text: bytes, at: int) -> int:
    return text.count(b"\n", 0, at) + 1
