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
_WORD = rb"(?:\"[^\"]*\"|'[^']*'|[^;\"'\s])+"
# What stands between what was there, and what stands for something that was.
_INSERTED = re.compile(
    rb"if __na_go \d+(?: " + _WORD + rb")*; then |; __na_ok \d+ && :; else __na_no; fi"
    rb"|__na_end && :; |__na_cp \d+ |__na_at \d+; |\{ __na_at \d+ && :; |; __na_of && :; \}"
    rb'|__na_run "\$@"; |; __na_ran && :|if __na_cc \S+ "\$@"; then |; else __na_no; fi'
    rb"""|\. "'"\$__na_v"'"; |\. \\"\$__na_v\\"; """
)
_LEAVE = re.compile(rb"\{ (?:__na_tx \d+ && :; )+((?:break|continue|return|command|builtin)\b[^;&|\n()]*?); \}")
_ONCE = re.compile(
    rb"\{ __na_s=\$\?; __na_is && :; __na_f=(.*?) && :; __na_fs && :; "
    rb'__na_(?:dot|see) (\S+) ("?\$__na_f"?) && :; \2(\s+)\3(.*?); \}',
    re.S,
)
_UP = b"; __na_up && :; }"
_JOB = re.compile(rb"& __na_ok \d+; else __na_no; fi(?:; )?")
_DOT = re.compile(rb"\{ __na_(?:dot|see) (.*?) && :; \1(.*?); \}")
_UNTRACED = re.compile(rb"\{ (__na_(?:(?! 2>/dev/null|\{ __na_).)*?); \} 2>/dev/null", re.S)
# Before a statement whose text is placed in one file or several: each file's word and number.
_TARGET = rb"__na_t=((?:(?!; __na_to).)*?)(?: && :)?; __na_to (%s)(?:; __na_o\d+=\$__na_o)?; "
_BEFORE = rb"\{ (?:__na_s=\$\?; )?(%s(?:%s)*)(?:__na_is && :; )?"


def without_verbs(program):
    """The text that the instrumenter was given, from what it made of it."""
    text = program.text.replace(rb"\"\$__na_o", b'"$__na_o').replace(rb"$__na_o\"", b'$__na_o"')  # in double quotes
    text = (
        text.replace(rb"__na_s=\$?", b"__na_s=$?").replace(b"__na_st ", b"__na_to ").replace(b"__na_sx ", b"__na_tx ")
    )
    text = _INSERTED.sub(b"", _JOB.sub(b"&", _UNTRACED.sub(rb"\1", text)))
    text = _ONCE.sub(rb"\2\4\1\5", _LEAVE.sub(rb"\1", text))
    text = _DOT.sub(rb"\1\2", text).replace(b"__na_log", b"logger")
    for number in reversed(range(len(program.statements))):  # what is inside another one has the higher number
        before = re.search(_BEFORE % (_TARGET % b"%d" % number, _TARGET % rb"\d+"), text, re.S)
        if before is None:  # no text, or not the first one of its statement
            continue
        behind = text.index(b"; __na_tx %d && __na_no; }" % number, before.end())
        body = text[before.end() : behind]
        for word, target in re.findall(_TARGET % rb"\d+", before[1], re.S):
            body = body.replace(b"; __na_tx %s && __na_no" % target, b"")
            body = re.sub(
                rb'"\$__na_o(?:%s)?"|\$__na_o(?:%s)?\b' % (target, target), lambda _, w=word: w, body, count=1
            )
        text = text[: before.start()] + body + text[behind + len(b"; __na_tx %d && __na_no; }" % number) :]
    return _without_ups(text, program.scripts[program.file].text)


def _without_ups(text, original):
    """Without the braces around subshells: each begins where the text first is another one than the original."""
    subshells, text = text.count(_UP), text.replace(_UP, b"")
    for _ in range(subshells):
        at = next((at for at, (a, b) in enumerate(zip(text, original, strict=False)) if a != b), len(text))
        if not text.startswith(b"{ (", at):
            break
        text = text[:at] + text[at + 2 :]
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
