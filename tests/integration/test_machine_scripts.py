"""The instrumenter never spoils a program: tried on every shell script of this machine, and on generated ones.

What it makes is not run here: it must still parse under the script's own shell, line for line, with the original
text in it as it was.
"""

import multiprocessing
import os
import re
import subprocess  # noqa: TID251 - `sh -n` is the oracle here
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.interpreter import interpreter
from nodeagent.model.evaluation import Phase
from tests.equivalence.programs import programs

_TOPS = ("/etc", "/usr")
_SIZE_LIMIT = 512 * 1024
_SHELL_LINE = re.compile(rb"#! *\S*/(?:env +)?(?:sh|bash|dash|ash)\b")
_WORD = rb"(?:\"[^\"]*\"|'[^']*'|[^;\"'\s])+"
# What stands between what was there, and what stands for something that was.
_INSERTED = re.compile(
    rb"if __na_go \d+(?: " + _WORD + rb")*; then |; __na_ok \d+ && :; else __na_no; fi"
    rb"|__na_cp \d+ |__na_at \d+; |\{ __na_at \d+ && :; |; __na_of && :; \}"
    rb'|__na_run "\$@"; |; __na_ran && :'
)
_JOB = re.compile(rb"& __na_ok \d+; else __na_no; fi(?:; )?")
_DOT = re.compile(rb"\{ __na_(?:dot|see) (.*?) && :; \1(.*?); \}")
_TEXT = rb'\{ __na_t=((?:(?!; __na_to).)*); __na_to %d; (.*?)"\$__na_o"(.*?); __na_tx %d && __na_no; \}'


def without_verbs(program):
    """The text that the instrumenter was given, from what it made of it."""
    text = _INSERTED.sub(b"", program.text)
    text = _DOT.sub(rb"\1\2", _JOB.sub(b"&", text)).replace(b"__na_log", b"logger")
    for number in reversed(range(len(program.statements))):  # what is inside another one has the higher number
        if program.statements[number].phase in {Phase.APPEND, Phase.WRITE}:
            found = re.search(_TEXT % (number, number), text, re.S)
            text = text[: found.start()] + found[2] + found[1] + found[3] + text[found.end() :]
    return text


def scripts():
    for top in _TOPS:
        for directory, _, names in os.walk(top):
            for name in names:
                path = Path(directory, name)
                if path.is_symlink() or not path.is_file() or path.stat().st_size > _SIZE_LIMIT:
                    continue
                with path.open("rb") as file:
                    first = file.readline(200)
                if _SHELL_LINE.match(first) or (name.endswith(".sh") and not first.startswith(b"#!")):
                    yield path


def tried(path):
    """How the instrumenter took a script, or what is wrong with what it made."""
    text = path.read_bytes()
    program = instrument(parse(text), path.name, lambda flags: True)
    if program.whole:
        assert program.text == text
        return path, "run whole", ""
    argv = [word for word in interpreter(text).argv if not word.startswith("-")]
    if program.text == text:
        return path, "nothing to do", ""
    wrong = [] if program.text.count(b"\n") == text.count(b"\n") else ["another number of lines"]
    if not program.statements and b"__na_dot " not in program.text:
        wrong.append("changed without a step")
    if without_verbs(program) != text:
        wrong.append("the original is not had back by taking the verbs out")
    if wrong or accepts(argv, program.text):
        return path, "instrumented", " ".join(wrong)
    if not accepts(argv, text):
        return path, "not the shell's own language", ""
    return path, "caught by sh -n", ""


def accepts(argv, text):
    done = subprocess.run([*argv, "-n", "/dev/stdin"], input=text, capture_output=True, check=False, timeout=20)
    return done.returncode == 0


@pytest.mark.slow
def test_every_shell_script_of_the_machine_still_parses_and_is_had_back(capsys):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(tried, sorted(scripts()), chunksize=16)
    counts = Counter(kind for _, kind, _ in found)
    with capsys.disabled():
        print(f"\n{len(found)} shell scripts:", ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))  # noqa: T201 - the figures
    assert [f"{path}: {wrong}" for path, _, wrong in found if wrong] == []
    # The parser and `sh -n` disagree about few; each one that the shell refuses runs whole.
    assert [str(path) for path, kind, _ in found if kind == "caught by sh -n"] == []


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs)
def test_generated_programs_still_parse_and_are_had_back(program):
    text = program.text.encode()
    done = instrument(parse(text), "post.sh", lambda flags: True)
    assert not done.whole
    assert without_verbs(done) == text
    assert accepts(["/bin/sh"], done.text)
