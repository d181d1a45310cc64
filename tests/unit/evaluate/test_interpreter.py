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
        (b"#! /bin/bash --posix\n", ("/bin/bash", "--posix")),
        (b"#!/bin/sh -\n", ("/bin/sh",)),
        (b"#!/usr/bin/env -S bash -eu\n", ("/usr/bin/env", "-S bash -eu")),
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
        b"#!/bin/bash -o pipefail\n",
        b"#!/bin/bash +e\n",
        b"#!/usr/bin/env -i bash\n",
        b"#!/bin/zsh\n",
        b"\x7fELF",
        b"#!/usr/bin/env\n",
    ],
)
def test_everything_else_is_run_whole(text):
    assert not interpreter(text).native


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"#!/usr/bin/perl\n", "its first line names no shell"),
        (b"#!/bin/bash -s\n", "its first line gives bash -s"),
        (b"#!/bin/bash --rcfile /etc/x\n", "its first line gives bash --rcfile /etc/x"),
    ],
)
def test_it_says_what_keeps_a_program_from_being_native(text, reason):
    assert interpreter(text).whole == reason
