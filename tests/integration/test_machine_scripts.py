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
from tests.equivalence.programs import programs

_TOPS = ("/etc", "/usr")
_SIZE_LIMIT = 512 * 1024
_SHELL_LINE = re.compile(rb"#! *\S*/(?:env +)?(?:sh|bash|dash|ash)\b")
_VERBS = re.compile(
    rb"if __na_go [^;\n]*; then |; __na_ok \d+ && :; else __na_no; fi|__na_(?:cp|at) \d+ "
    rb'|__na_run "\$@"; |; __na_ran && :|\{ __na_dot [^;\n]* && :; '
)
_TEXT = re.compile(rb'\{ __na_t=(\S+); __na_to \d+; (.*?)"\$__na_o"(.*?); __na_tx \d+; \}', re.S)


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
    if not program.statements:
        wrong.append("changed without a step")
    if wrong or accepts(argv, program.text):
        return path, "instrumented", " ".join(wrong)
    if not accepts(argv, text):
        return path, "not the shell's own language", ""
    return path, "caught by sh -n", ""


def accepts(argv, text):
    done = subprocess.run([*argv, "-n", "/dev/stdin"], input=text, capture_output=True, check=False, timeout=20)
    return done.returncode == 0


@pytest.mark.slow
def test_every_shell_script_of_the_machine_still_parses_with_its_lines(capsys):
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
def test_generated_programs_still_parse_with_their_lines(program):
    text = program.text.encode()
    done = instrument(parse(text), "post.sh", lambda flags: True)
    assert not done.whole
    assert done.text.count(b"\n") == text.count(b"\n")
    assert accepts(["/bin/sh"], done.text)


def test_the_original_is_had_back_by_taking_the_verbs_out():
    """Gates, marks and notices only stand between what was there; the text of APPEND and WRITE is moved."""
    text = Path(__file__).parent.parent.joinpath("fixtures").rglob("post.sh")
    for path in sorted(text):
        original = path.read_bytes()
        done = instrument(parse(original), "post.sh", lambda flags: True)
        if done.whole:
            continue
        shown = _VERBS.sub(b"", done.text)
        shown = _TEXT.sub(rb"\2\1\3", shown)
        assert shown.replace(b"__na_log", b"logger") == original, path
