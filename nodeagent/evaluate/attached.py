"""Which step a comment ``# nodeagent: ...`` is about, and what it says of it.

A comment is about the steps of its own line; alone on its line, about those of the first line below that is no comment.
A line belongs to the step that begins or ends on it, else to the innermost one that goes over it. Each word is for the
steps there whose phase it fits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from nodeagent.errors import AnnotationInvalid
from nodeagent.evaluate.annotations import WORDS, Comment, comments, known
from nodeagent.evaluate.statements import Instrumented
from nodeagent.evaluate.syntax import Script
from nodeagent.model.evaluation import Annotation, Statement

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_EXCLUDE = (("idle", "anytime"), ("boot", "always"), ("on", "always"))
_REPEATED = frozenset({"on", "ignore"})  # several of them add up; of the others there can be one


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why an annotation cannot be followed. ``start`` is its place in the text."""

    file: str
    line: int
    start: int
    what: str


@dataclass(slots=True)
class _Said:
    """What the comments say to one step."""

    last: Comment
    words: list[tuple[str, str]] = field(default_factory=list)


def attach(
    script: Script, file: str, statements: Sequence[Statement], *, whole: str = ""
) -> tuple[tuple[Statement, ...], tuple[Problem, ...]]:
    """Give each step of one file its annotation.

    Args:
        script: the file's text.
        file: its name.
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
            problems.append(_problem(file, comment, f"'{wrong or ''}' is no annotation: {known(wrong or '')}"))
        elif comment.names != {"ignore"}:
            targets = _targets(script, comment, statements, whole)
            problems += [_problem(file, comment, why) for why in _assign(comment, targets, statements, said, whole)]
    annotated = list(statements)
    for number, what in said.items():
        if contradiction := _contradiction([name for name, _ in what.words]):
            problems.append(_problem(file, what.last, contradiction))
        else:
            annotated[number] = replace(annotated[number], annotation=_annotation(what.words))
    return tuple(annotated), tuple(sorted(problems, key=lambda problem: problem.start))


def attached(program: Instrumented) -> tuple[Instrumented, tuple[Problem, ...]]:
    """Give the steps of a program, and of what it sources, their annotations; and what is wrong, the program first.

    An annotation in a file that the shell reads as it is can never be followed.
    """
    statements, problems = list(program.statements), list[Problem]()
    for file, script in program.scripts.items():
        if b"nodeagent:" not in script.text:
            continue
        if file != program.file and (program.whole or file in program.left):
            reason = program.left.get(file) or f"{program.file} is run whole: {program.whole}"
            problems += unfollowed(script, file, reason)
            continue
        places = [number for number, statement in enumerate(statements) if statement.file == file]
        said, wrong = attach(script, file, [statements[n] for n in places], whole=program.whole)
        problems += wrong
        for number, statement in zip(places, said, strict=True):
            statements[number] = statement
    return replace(program, statements=tuple(statements)), tuple(problems)


def annotated(program: Instrumented) -> Instrumented:
    """As :func:`attached`, of a program that is to be evaluated.

    Raises:
        AnnotationInvalid: an annotation cannot be followed; nothing of the revision may be done.
    """
    done, problems = attached(program)
    refuse(problems)
    return done


def refuse(problems: Sequence[Problem]) -> None:
    """Raises:
    AnnotationInvalid: there are any.
    """
    if problems:
        first, more = problems[0], f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise AnnotationInvalid(f"{first.file}:{first.line}: {first.what}{more}; mend it and push")


def unfollowed(script: Script, file: str, reason: str) -> tuple[Problem, ...]:
    """The annotations of a file that the shell reads as it is, for this reason, but for those that only lint reads."""
    what = f"the shell reads this file as it is ({reason}), so that no annotation in it can be followed"
    found = comments(script.text, script.comments if script.error_line is None else None)
    return tuple(_problem(file, comment, what) for comment in found if comment.names != {"ignore"})


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
) -> Iterator[str]:
    if not targets:
        yield _nowhere(comment, whole)
        return
    for word in comment.words:
        name, _, value = word.partition("=")
        fitting = [n for n in targets if statements[n].phase in WORDS[name].phases]
        if not fitting:
            phases = "/".join(dict.fromkeys(statements[n].phase for n in targets))
            yield f"'{word}' does not fit a step of phase {phases}"
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


def _problem(file: str, comment: Comment, what: str) -> Problem:
    return Problem(file=file, line=comment.line, start=comment.start, what=what)
