"""The comments ``# nodeagent: WORD...``: which words there are, and where they stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_COMMENT = re.compile(rb"#[ \t]*nodeagent:(.*)")

_WORDS = {
    "on": re.compile(r"/[^,]*(,/[^,]*)*"),
    "retry": re.compile(r"\d+"),
    "timeout": re.compile(r"\d+[smh]?"),
    "mode": re.compile(r"[0-7]{3,4}"),
    "owner": re.compile(r"[\w.$-]+(:[\w.$-]+)?|:[\w.$-]+"),
    "prune": re.compile(r"no"),
    "ignore": re.compile(r"[\w-]+(,[\w-]+)*"),
}
_FLAGS = frozenset({"boot", "always", "idle", "anytime"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """``start`` is the comment's place in the text; ``alone``: nothing else stands on its line."""

    line: int
    start: int
    words: tuple[str, ...]
    alone: bool

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
            if equals:
                if name not in _WORDS or not _WORDS[name].fullmatch(value):
                    yield word
            elif word not in _FLAGS:
                yield word


def annotations(text: bytes, comments: tuple[tuple[int, int], ...] | None) -> tuple[Annotation, ...]:
    """All annotations of a text, in order.

    Args:
        comments: where the comments are, or None where no grammar has found them: then each ``#`` may begin one.
    """
    if comments is None:
        comments = tuple((m.start(), m.end()) for m in re.finditer(rb"#[^\n]*", text))
    found = []
    line, counted = 1, 0
    for start, end in sorted(comments):
        match = _COMMENT.match(text[start:end].rstrip(b"\r\n"))
        if match:
            words = tuple(match[1].decode(errors="replace").split())
            before = text[text.rfind(b"\n", 0, start) + 1 : start]
            line, counted = line + text.count(b"\n", counted, start), start
            found.append(Annotation(line=line, start=start, words=words, alone=not before.strip()))
    return tuple(found)
