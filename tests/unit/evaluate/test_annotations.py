from dataclasses import replace

import pytest

from nodeagent.errors import AnnotationInvalid
from nodeagent.evaluate.annotations import comments
from nodeagent.evaluate.attached import annotated, attach
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.model.evaluation import Annotation, Phase, Statement

HEAD = '#!/bin/sh\nCOPY() {\n  rsync -a "$1" "$2"\n}\n'


def steps(body, *, whole=""):
    """The annotation of each step of a post.sh, by its text."""
    script = parse((HEAD + body).encode())
    program = instrument(script, "post.sh", lambda flags: True)
    assert not program.whole
    return {s.text: s.annotation for s in annotated(replace(program, whole=whole)).statements}


def refusal(body):
    with pytest.raises(AnnotationInvalid) as caught:
        steps(body)
    return str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "systemctl restart x # nodeagent: boot\n",
        "systemctl restart x #nodeagent:boot\n",
        "# nodeagent: boot\nsystemctl restart x\n",
        "# nodeagent: boot\n# why: it is slow\nsystemctl restart x\n",
        "if true; then\n  systemctl restart x # nodeagent: boot\nfi\n",
    ],
)
def test_a_comment_is_about_the_step_of_its_line_or_alone_about_the_one_below(body):
    assert steps(body) == {"systemctl restart x": Annotation(boot=True)}


@pytest.mark.parametrize(
    "body",
    [
        "systemctl restart \\\n  x # nodeagent: boot\n",
        "# nodeagent: boot\nsystemctl restart \\\n  x\n",
        "systemctl restart 'a\nb\nc' # nodeagent: boot\n",
        "one | # nodeagent: boot\n  two |\n  three\n",
        "one |\n  two | # nodeagent: boot\n  three\n",
    ],
)
def test_every_line_of_a_statement_is_its_line(body):
    (annotation,) = steps(body).values()
    assert annotation.boot


def test_several_comments_above_add_up():
    (annotation,) = steps("# nodeagent: on=/a\n# nodeagent: on=/b,/a retry=2\nx y # nodeagent: anytime\n").values()
    assert annotation == Annotation(on=("/a", "/b"), retry=2, anytime=True)


def test_a_comment_below_or_above_an_empty_line_is_about_no_step():
    assert refusal("x y\n# nodeagent: boot\n").startswith("post.sh:6: no step for 'boot'")
    assert "no step" in refusal("# nodeagent: boot\n\nx y\n")


def test_each_word_is_for_the_steps_of_the_line_that_it_fits():
    found = steps("COPY a /b; x y # nodeagent: mode=0400 boot\n")
    assert found == {"COPY a /b": Annotation(mode=0o400), "x y": Annotation(boot=True)}


def test_a_step_keeps_its_identity_when_its_annotation_changes():
    keys = set()
    for body in ("x y\n", "x y # nodeagent: boot\n"):
        script = parse(body.encode())
        keys.add(instrument(script, "post.sh", lambda flags: True).statements[0].key)
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("on=/etc/slurm,/etc/default/slurmd", {"on": ("/etc/slurm", "/etc/default/slurmd")}),
        ("on=/etc/slurm/", {"on": ("/etc/slurm",)}),
        ("boot", {"boot": True}),
        ("always", {"always": True}),
        ("idle", {}),
        ("anytime", {"anytime": True}),
        ("retry=3", {"retry": 3}),
        ("timeout=90", {"timeout": 90.0}),
        ("timeout=90s", {"timeout": 90.0}),
        ("timeout=5m", {"timeout": 300.0}),
        ("timeout=2h", {"timeout": 7200.0}),
        ("on=/a boot idle", {"on": ("/a",), "boot": True}),
        ("ignore=ln-sfn boot", {"boot": True}),
    ],
)
def test_the_words_of_an_execute_step(words, expected):
    assert steps(f"x y # nodeagent: {words}\n") == {"x y": Annotation(**expected)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mode=0400", {"mode": 0o400}),
        ("mode=755 owner=root", {"mode": 0o755, "user": "root"}),
        ("owner=munge:munge", {"user": "munge", "group": "munge"}),
        ("owner=0:12", {"user": "0", "group": "12"}),
        ("prune=no", {"prune": False}),
    ],
)
def test_the_words_of_a_copy(words, expected):
    assert steps(f"COPY a /b # nodeagent: {words}\n") == {"COPY a /b": Annotation(**expected)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("onn=/etc", "'onn=/etc' is no annotation: the words are on="),
        ("on=etc", "'on=etc' is no annotation: 'on' needs another value"),
        ("on", "'on' needs another value"),
        ("boot=1", "'boot' has no value"),
        ("retry=-1", "'retry' needs another value"),
        ("timeout=0", "'timeout' needs another value"),
        ("prune=yes", "'prune' needs another value"),
        ("", "'' is no annotation"),
        ("idle anytime", "'idle' and 'anytime' contradict each other"),
        ("boot always", "'boot' and 'always' contradict each other"),
        ("on=/a always", "'on' and 'always' contradict each other"),
        ("retry=1 retry=2", "'retry' is said twice"),
        ("mode=0400", "'mode=0400' does not fit a step of phase EXECUTE"),
        ("prune=no", "'prune=no' does not fit a step of phase EXECUTE"),
    ],
)
def test_what_cannot_be_followed_names_the_line_and_the_word(words, said):
    message = refusal(f"true\nx y # nodeagent: {words}\n")
    assert message.startswith("post.sh:6: ")
    assert said in message


def test_a_word_about_running_does_not_fit_a_copy():
    assert "'boot' does not fit a step of phase COPY" in refusal("COPY a /b # nodeagent: boot\n")


@pytest.mark.parametrize("line", ["cd /tmp", "x=1", "if x; then :; fi", "x || exit 7; echo $?", "sleep 1"])
def test_an_annotation_of_what_always_runs_is_refused(line):
    assert "the shell's own and always runs" in refusal(f"{line} # nodeagent: boot\n")


def test_ignore_needs_no_step():
    assert steps("cd /tmp # nodeagent: ignore=ln-sfn\nx y\n") == {"x y": Annotation()}


def test_text_that_looks_like_an_annotation_is_none():
    body = "cat >>/etc/x <<E\n# nodeagent: boot\nE\necho '# nodeagent: nonsense' >>/etc/y\n"
    assert set(steps(body).values()) == {Annotation()}


def test_more_than_one_problem_is_counted():
    assert "(and 1 more)" in refusal("a b # nodeagent: x\nc d # nodeagent: y\n")


def test_a_program_that_is_run_whole_is_annotated_at_its_head():
    statement = Statement(number=0, key="", file="post.sh", line=1, phase=Phase.EXECUTE, text="./post.sh")
    script = parse(b"#!/usr/bin/python3\n# nodeagent: anytime retry=1\nprint(1)\n")
    ((done,), problems) = attach(script, "post.sh", (statement,), whole="no shell")
    assert (done.annotation, problems) == (Annotation(anytime=True, retry=1), ())
    script = parse(b"#!/usr/bin/python3\nprint(1)  # nodeagent: anytime\n")
    (problem,) = attach(script, "post.sh", (statement,), whole="no shell")[1]
    assert (problem.line, "run whole (no shell)" in problem.what) == (2, True)


@pytest.mark.parametrize("word", ["on=/a", "on=/a,/b/c", "boot", "always", "idle", "anytime", "retry=3", "timeout=5m"])
def test_the_words_of_the_language_are_right(word):
    (found,) = comments(b"x # nodeagent: " + word.encode(), None)
    assert list(found.wrong()) == []


@pytest.mark.parametrize("word", ["mode=0400", "owner=munge:munge", "owner=root", "prune=no", "ignore=a,b"])
def test_the_words_about_files_are_right(word):
    (found,) = comments(b"x # nodeagent: " + word.encode(), None)
    assert list(found.wrong()) == []


@pytest.mark.parametrize("word", ["on", "on=", "on=a", "boot=1", "retry=-1", "timeout=x", "mode=rw", "prune=yes", "x"])
def test_any_other_word_is_wrong(word):
    (found,) = comments(b"x # nodeagent: " + word.encode(), None)
    assert list(found.wrong()) == [word]
