"""The comments ``# nodeagent: WORD...``: which words there are, where they stand, and which step they are about.

The one table of the words; lint reads it too. A comment is about the steps of its own line; alone on its line, about
those of the first line below that is no comment. A line belongs to the step that begins or ends on it, else to the
innermost one that goes over it. Each word is for the steps there whose phase it fits.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodeagent.errors import AnnotationInvalid
from nodeagent.evaluate.syntax import Script
from nodeagent.model import Annotation, Phase, Statement

_COMMENT = re.compile(rb"#[ \t]*nodeagent:(.*)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
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
_EXCLUDE = (("idle", "anytime"), ("boot", "always"), ("on", "always"))
_REPEATED = frozenset({"on", "ignore"})  # several of them add up; of the others there can be one


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why an annotation cannot be followed. ``start`` is its place in the text."""

    line: int
    start: int
    what: str


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


@dataclass(slots=True)
class _Said:
    """What the comments say to one step."""

    last: Comment
    words: list[tuple[str, str]] = field(default_factory=list)


def attach(
    script: Script, statements: Sequence[Statement], *, whole: str = ""
) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
    """Give each step of one file its annotation.

    Args:
        script: the file's text.
        statements: its steps.
        whole: why the program is run as one step (the only statement), or empty. Then what stands in the comments at
            its head is about that step, and nothing else can be followed.

    Returns:
        The statements, and what is wrong; a statement that a wrong annotation is about stays without one.
    """
    said: dict[int, _Said] = {}
    problems: list[Problem] = []
    for comment in comments(script.text, None if whole or script.error_line is not None else script.comments):
        wrong = next(comment.wrong(), None)
        if wrong is not None or not comment.words:
            problems.append(_problem(comment, f"'{wrong or ''}' is no annotation: {_known(wrong or '')}"))
        elif comment.names != {"ignore"}:
            problems += _assign(comment, _targets(script, comment, statements, whole), statements, said, whole)
    annotated = list(statements)
    for number, what in said.items():
        if contradiction := _contradiction([name for name, _ in what.words]):
            problems.append(_problem(what.last, contradiction))
        else:
            annotated[number] = replace(annotated[number], annotation=_annotation(what.words))
    return tuple(annotated), tuple(sorted(problems, key=lambda problem: problem.start))


def annotated(script: Script, file: str, statements: Sequence[Statement], *, whole: str = "") -> tuple[Statement, ...]:
    """As :func:`attach`, of a file that is to be evaluated.

    Raises:
        AnnotationInvalid: an annotation cannot be followed; nothing of the revision may be done.
    """
    done, problems = attach(script, statements, whole=whole)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise AnnotationInvalid(f"{file}:{problems[0].line}: {problems[0].what}{more}; mend it and push")
    return done


def _targets(script: Script, comment: Comment, statements: Sequence[Statement], whole: str) -> list[int]:
    if whole:
        head = script.text[: comment.start].split(b"\n")
        return [0] if all(line.lstrip().startswith(b"#") or not line.strip() for line in head) else []
    line = comment.about
    ends = [n for n, s in enumerate(statements) if line in {s.line, s.last_line} and not s.asked]
    if ends:
        return ends
    around = [n for n, s in enumerate(statements) if s.line < line < s.last_line and not s.asked]
    return sorted(around, key=lambda n: statements[n].last_line - statements[n].line)[:1]


def _assign(
    comment: Comment, targets: list[int], statements: Sequence[Statement], said: dict[int, _Said], whole: str
) -> Iterator[Problem]:
    if not targets:
        yield _problem(comment, _nowhere(comment, whole))
        return
    for word in comment.words:
        name, _, value = word.partition("=")
        fitting = [n for n in targets if statements[n].phase in WORDS[name].phases]
        if not fitting:
            phases = "/".join(dict.fromkeys(statements[n].phase for n in targets))
            yield _problem(comment, f"'{word}' does not fit a step of phase {phases}")
        for number in fitting:
            what = said.setdefault(number, _Said(comment))
            what.last = comment
            what.words.append((name, value))


def _nowhere(comment: Comment, whole: str) -> str:
    if whole:
        return f"the program is run whole ({whole}): only an annotation in the comments at its head can be followed"
    where = "the line below" if comment.alone else "this line"
    return f"no step for '{' '.join(comment.words)}' on {where}: what stands there is the shell's own and always runs"


def _contradiction(names: Sequence[str]) -> str:
    for one, other in _EXCLUDE:
        if one in names and other in names:
            return f"'{one}' and '{other}' contradict each other"
    twice = next((name for name in names if names.count(name) > 1 and name not in _REPEATED), "")
    return f"'{twice}' is said twice" if twice else ""


def _annotation(words: Sequence[tuple[str, str]]) -> Annotation:
    said = dict(words)
    names = said.keys()
    paths = [path for name, value in words if name == "on" for path in value.split(",")]
    user, _, group = said.get("owner", "").partition(":")
    return Annotation(
        on=tuple(dict.fromkeys("/" + path.strip("/") for path in paths)),
        boot="boot" in names,
        always="always" in names,
        anytime="anytime" in names,
        retry=int(said.get("retry", "0")),
        timeout=_seconds(said["timeout"]) if "timeout" in said else None,
        mode=int(said["mode"], 8) if "mode" in said else None,
        user=user,
        group=group,
        prune="prune" not in names,
    )


def _seconds(value: str) -> float:
    return float(value.rstrip("smh")) * _SECONDS.get(value[-1], 1)


def _known(word: str) -> str:
    name = word.partition("=")[0]
    if name in WORDS:
        needs = "needs another value" if WORDS[name].value is not None else "has no value"
        return f"'{name}' {needs}"
    return "the words are " + " ".join(n + "=" * (w.value is not None) for n, w in WORDS.items())


def _problem(comment: Comment, what: str) -> Problem:
    return Problem(line=comment.line, start=comment.start, what=what)
