"""From post.sh's text, and that of what it sources, to the texts that its shell is given."""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from nodeagent.apply import process
from nodeagent.apply.rsync import parse as parse_flags
from nodeagent.errors import PostScriptMissing
from nodeagent.evaluate.attached import annotated
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.interpreter import Interpreter, interpreter
from nodeagent.evaluate.pipes import Pipes
from nodeagent.evaluate.sources import sourced
from nodeagent.evaluate.sourcing import with_notice
from nodeagent.evaluate.stand_in import with_prelude
from nodeagent.evaluate.statements import Instrumented
from nodeagent.evaluate.syntax import Block, Script
from nodeagent.model.evaluation import Phase, Statement
from nodeagent.model.events import Notice, Reporter
from nodeagent.node import needs

ENTRY = "post.sh"
_EXTENDED = re.compile(rb"^[ \t]*shopt[ \t]+-s[ \t][^#\n]*\bextglob\b", re.M)
_NOTICE = 5  # syslog severity


def check(read: Callable[[str], bytes | None], names: Iterable[str]) -> None:
    """Refuse a tree that could not be evaluated, before it takes the place of the one that is in force.

    Args:
        read: gives a file of the tree, or None if there is none at the path.
        names: the tree's files.

    Raises:
        PostScriptMissing: the tree has no post.sh.
        AnnotationInvalid: an annotation in it cannot be followed.
    """
    text = read(ENTRY)
    if text is None:
        raise _missing(ENTRY)
    by = interpreter(text)
    program = Instrumented(text=text, whole=by.whole)
    if by.native:
        program = _understood(text, by, read, lambda: names)
    annotated(_as_one_step(program, program.whole) if program.whole else program)


def program_text(directory: Path) -> bytes:
    """Raises:
    PostScriptMissing: the tree has no post.sh.
    """
    script = directory / ENTRY
    try:
        return script.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _missing(str(script)) from error


def prepare(directory: Path, text: bytes, by: Interpreter, pipes: Pipes, reporter: Reporter) -> Instrumented:
    """The instrumented program, or the program as one step where it is not understood, and a word about it.

    Raises:
        AnnotationInvalid: an annotation in it cannot be followed.
    """
    program = Instrumented(text=text, whole=by.whole)
    if by.native:
        program = _understood(text, by, functools.partial(_file, directory), lambda: _names(directory))
    if not program.whole and not os.access(directory, os.W_OK):
        program = replace(program, whole=f"{directory} is read-only, and nothing can take its place for a moment")
    if not program.whole:
        with_verbs = with_prelude(program.text, pipes.prelude(turns=program.turns))
        texts = {name: with_notice(one) for name, one in program.sourced.items()}
        originals = {name: script.text for name, script in program.scripts.items()}
        accepted = {
            name
            for name, one in {ENTRY: with_verbs, **texts}.items()
            if _accepts(by, originals[name], pipes) and _accepts(by, one, pipes)
        }
        if ENTRY in accepted:
            kept = {name: one for name, one in texts.items() if name in accepted}
            refused = dict.fromkeys(texts.keys() - kept.keys(), f"{by.argv[0]} -n refuses it")
            return annotated(replace(program, text=with_verbs, sourced=kept, left={**program.left, **refused}))
        program = replace(program, whole=f"{by.argv[0]} -n refuses it")
    reporter.report(Notice(priority=_NOTICE, text=f"{ENTRY} is run whole, as one step: {program.whole}", path=ENTRY))
    return annotated(_as_one_step(replace(program, text=text), program.whole))


def _understood(
    text: bytes, by: Interpreter, read: Callable[[str], bytes | None], names: Callable[[], Iterable[str]]
) -> Instrumented:
    script = parse(text, bash=by.is_bash)
    return instrument(script, ENTRY, lambda flags: parse_flags(flags) is not None, sourced(script, ENTRY, names, read))


def _accepts(by: Interpreter, text: bytes, pipes: Pipes) -> bool:
    candidate = pipes.directory / "candidate"
    with needs(candidate):
        candidate.write_bytes(text)
    argv = by.argv
    if _EXTENDED.search(text) and any(PurePosixPath(word).name == "bash" for word in argv):
        argv = (*argv, "-O", "extglob")  # bash -n reads the line that sets it, and does not do it
    return process.check_syntax(argv, str(candidate))


def _file(directory: Path, name: str) -> bytes | None:
    path = directory / name
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def _names(directory: Path) -> Iterator[str]:
    for top, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name != ".git"]
        for name in files:
            yield os.path.relpath(os.path.join(top, name), directory)


def _missing(where: str) -> PostScriptMissing:
    return PostScriptMissing(
        f"{where}: the repository has no {ENTRY} at its top: it is the entry point; add it and push"
    )


def _as_one_step(program: Instrumented, reason: str) -> Instrumented:
    text = program.text
    key = hashlib.sha256(b"whole\0" + text).hexdigest()[:32]
    statement = Statement(number=0, key=key, file=ENTRY, line=1, phase=Phase.EXECUTE, text=f"./{ENTRY}")
    scripts = program.scripts or {ENTRY: Script(text=text, block=Block(), error_line=1)}
    return Instrumented(text=text, statements=(statement,), scripts=scripts, whole=reason)
