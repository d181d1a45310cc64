import pytest

from nodeagent.evaluate.interpreter import interpreter


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (b"#!/bin/sh\n", ("/bin/sh",)),
        (b"#! /bin/bash -ex\necho\n", ("/bin/bash", "-ex")),
        (b"#!/usr/bin/env bash\n", ("/usr/bin/env", "bash")),
        (b"#!/bin/busybox ash\r\n", ("/bin/busybox", "ash")),
        (b"#!/bin/dash", ("/bin/dash",)),
    ],
)
def test_a_shell_that_the_verbs_are_written_for_is_native(text, argv):
    found = interpreter(text)
    assert found.argv == argv
    assert found.native


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"echo hi\n",
        b"#!\n",
        b"#!/usr/bin/python3\n",
        b"#!/bin/sh -c\n",
        b"#!/bin/zsh\n",
        b"\x7fELF",
        b"#!/usr/bin/env\n",
    ],
)
def test_everything_else_is_run_whole(text):
    assert not interpreter(text).native
