"""The comments ``# nodeagent: WORD...``: which words there are, and where they stand. The one table of the words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodeagent.model.evaluation import Phase

_COMMENT = re.compile(rb"#[ \t]*nodeagent:(.*)")
_EXECUTE = frozenset({Phase.EXECUTE})
_FILES = frozenset({Phase.COPY, Phase.APPEND, Phase.WRITE})


@dataclass(frozen=True, slots=True)
class _Word:
    """``value`` is None for a word without one; ``phases`` are the steps that it fits."""

    value: re.Pattern[str] | None
    phases: frozenset[Phase]

    def takes(self, value: str | None) -> bool:
        """Whether it may stand with this value; None: without ``=``."""
        if value is None or self.value is None:
            return value is None and self.value is None
        return self.value.fullmatch(value) is not None


WORDS: Mapping[str, _Word] = {
    "on": _Word(re.compile(r"/[^,]*(,/[^,]*)*"), _EXECUTE),
    "boot": _Word(None, _EXECUTE),
    "always": _Word(None, _EXECUTE),
    "idle": _Word(None, _EXECUTE),
    "anytime": _Word(None, _EXECUTE),
    "retry": _Word(re.compile(r"\d{1,3}"), _EXECUTE),
    "timeout": _Word(re.compile(r"0*[1-9]\d{0,6}[smh]?"), _EXECUTE),
    "mode": _Word(re.compile(r"[0-7]{3,4}"), frozenset({Phase.COPY})),
    "owner": _Word(re.compile(r"[\w.$-]+(:[\w.$-]+)?"), frozenset({Phase.COPY})),
    "prune": _Word(re.compile(r"no"), _FILES),
    "ignore": _Word(re.compile(r"[\w-]+(,[\w-]+)*"), frozenset(Phase)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One annotation as it is written.

    ``start`` is the comment's place in the text; ``alone``: nothing else stands on its line. ``about`` is the line that
    it speaks of, 0 if that is an empty one or the end.
    """

    line: int
    start: int
    words: tuple[str, ...]
    alone: bool
    about: int

    @property
    def names(self) -> frozenset[str]:
        return frozenset(word.partition("=")[0] for word in self.words)

    @property
    def ignored(self) -> frozenset[str]:
        """The ids that it silences."""
        lists = (word.partition("=")[2] for word in self.words if word.startswith("ignore="))
        return frozenset(id_ for ids in lists for id_ in ids.split(","))

    def wrong(self) -> Iterator[str]:
        """The words that do not exist, or whose value cannot be."""
        for word in self.words:
            name, equals, value = word.partition("=")
            if name not in WORDS or not WORDS[name].takes(value if equals else None):
                yield word


def comments(text: bytes, places: tuple[tuple[int, int], ...] | None) -> tuple[Comment, ...]:
    """All annotations of a text, in order.

    Args:
        text: of a program, or of any file.
        places: where the comments are, or None where no grammar has found them: then each ``#`` may begin one.
    """
    if b"nodeagent:" not in text:
        return ()
    if places is None:
        places = tuple((m.start(), m.end()) for m in re.finditer(rb"#[^\n]*", text))
    found = []
    lines = text.split(b"\n")
    line, counted = 1, 0
    for start, end in sorted(places):
        match = _COMMENT.match(text[start:end].rstrip(b"\r\n"))
        if match:
            words = tuple(match[1].decode(errors="replace").split())
            alone = not text[text.rfind(b"\n", 0, start) + 1 : start].strip()
            line, counted = line + text.count(b"\n", counted, start), start
            about = _below(lines, line) if alone else line
            found.append(Comment(line=line, start=start, words=words, alone=alone, about=about))
    return tuple(found)


def _below(lines: Sequence[bytes], line: int) -> int:
    for number in range(line + 1, len(lines) + 1):
        content = lines[number - 1].strip()
        if not content.startswith(b"#"):
            return number if content else 0
    return 0


def known(word: str) -> str:
    """What could stand there instead of a wrong word."""
    name = word.partition("=")[0]
    if name in WORDS:
        needs = "needs another value" if WORDS[name].value is not None else "has no value"
        return f"'{name}' {needs}"
    return "the words are " + " ".join(n + "=" * (w.value is not None) for n, w in WORDS.items())
