"""What comments say in the files that a program sources."""

import pytest

from nodeagent.errors import AnnotationInvalid
from nodeagent.evaluate.attached import annotated
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.sources import sourced
from nodeagent.model.evaluation import Annotation
from testbed import documents

STEP = "systemctl restart x # nodeagent: boot\n"


def program(text, **files):
    contents = {name.replace("_", "/") + ".sh": content.encode() for name, content in files.items()}
    script = parse(text.encode())
    found = sourced(script, "post.sh", lambda: contents, contents.get)
    return instrument(script, "post.sh", lambda flags: True, found)


def refusal(text, **files):
    with pytest.raises(AnnotationInvalid) as caught:
        annotated(program(text, **files))
    return str(caught.value)


def test_the_comments_that_the_specification_shows_are_understood():
    run = 'RUN() { logger -t postscripts "$*"; "$@"; }\n'
    done = annotated(program(run + documents.commands("docs/spec.md", "annotations")))
    assert [(s.annotation.on, s.annotation.boot, s.annotation.retry) for s in done.statements if s.annotation] == [
        (("/etc/slurm", "/etc/default/slurmd"), False, 0),
        ((), False, 0),
        ((), True, 2),
    ]


@pytest.mark.parametrize(
    "text",
    [
        ". ./d/a.sh\n",
        'for f in d/*.sh; do . "$f"; done\n',
        '. "$(dirname "$0")/d/a.sh" || exit 1\n',
        "if true; then . d/a.sh; fi\nsystemctl restart y\n",
        ". ./b.sh\n",
    ],
)
def test_a_comment_in_a_sourced_file_is_about_the_step_of_its_line(text):
    done = annotated(program(text, d_a="#!/bin/sh\n" + STEP, b=". d/a.sh\n"))
    said = {(s.file, s.line): s.annotation for s in done.statements}
    assert said.pop(("d/a.sh", 2)) == Annotation(boot=True)
    assert set(said.values()) <= {Annotation()}


def test_what_cannot_be_followed_there_names_that_file_and_line():
    assert refusal(". ./a.sh\n", a="\nx y # nodeagent: bot\n").startswith("a.sh:2: 'bot' is no annotation")
    assert refusal(". ./a.sh\n", a="x=1 # nodeagent: boot\n").startswith("a.sh:1: no step for 'boot'")


def test_the_program_s_own_faults_come_first_and_the_others_are_counted():
    found = refusal("x y # nodeagent: no\n. ./a.sh\n", a="x y # nodeagent: no\nx z # nodeagent: no\n")
    assert found.startswith("post.sh:1: ")
    assert "(and 2 more)" in found


@pytest.mark.parametrize(
    ("text", "file", "why"),
    [
        (". ./a.sh\n", "if\n" + STEP, "line 1 is not understood"),
        (". ./a.sh\n", "echo $_\n" + STEP, "it uses $_"),
        ("if . ./a.sh; then y; fi\n", "\n" + STEP, "it is sourced where its status or output is used"),
        ("( . ./a.sh ) | cat\n", "\n" + STEP, "it is sourced where its status or output is used"),
        ("alias x=y\n. ./a.sh\n", "\n" + STEP, "post.sh is run whole: it uses alias"),
        ("if\n. ./a.sh\n", "\n" + STEP, ""),
    ],
)
def test_an_annotation_in_a_file_that_the_shell_reads_as_it_is_cannot_be_followed(text, file, why):
    if why:
        assert refusal(text, a=file).startswith(f"a.sh:2: the shell reads this file as it is ({why})")
    else:  # nobody knows what such a program sources
        assert annotated(program(text, a=file)).whole


def test_a_file_that_no_dot_names_says_nothing():
    assert annotated(program("x y\n", a="x=1 # nodeagent: bot\n")).statements[0].annotation == Annotation()


def test_only_lint_reads_ignore():
    assert annotated(program("if . ./a.sh; then y; fi\n", a="x=1 # nodeagent: ignore=crlf\n"))
