"""Somebody reads a file all the time while it is replaced: it is always there, and always one of the two contents."""

import subprocess  # noqa: TID251 - the reader is a process of its own
import sys

import pytest

from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import parse
from nodeagent.apply.write import write
from tests.integration.site import Site
from tests.unit.apply.memory import Memory

SIZES = (70_000, 130_000)  # more than a page and more than a pipe holds, and not the same
CONTENTS = (b"a" * SIZES[0], b"b" * SIZES[1])

# Opens and reads the file a thousand times a second until its standard input is closed.
READER = f"""
import select, sys
wanted, count = {{(b"a", {SIZES[0]}), (b"b", {SIZES[1]})}}, 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    assert (content[:1], len(content)) in wanted and len(set(content)) == 1, (content[:1], len(content))
    count += 1
print(count, flush=True)
"""


@pytest.fixture
def reader():
    """Starts the reader of a path; the function that it gives ends it and tells how often it has read."""
    started: list[subprocess.Popen[str]] = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"

        def end() -> int:
            out, complaint = process.communicate()
            assert process.returncode == 0, complaint
            return int(out)

        return end

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_reader_never_misses_a_file_that_copy_and_write_replace_in_turn(tmp_path, reader):
    top = tmp_path.resolve()
    for name, content in zip("ab", CONTENTS, strict=True):
        (top / name).write_bytes(content)
    (top / "file").write_bytes(CONTENTS[0])
    end = reader(top / "file")
    for turn in range(200):
        if turn % 4 < 2:
            status = copy(
                ["ab"[turn % 2]],
                "file",
                cwd=str(top),
                umask=0o022,
                options=parse(["-a"]),
                make_parent=False,
                destinations=Memory(),
                report=lambda change: None,
            )
            assert status == 0
        else:
            write("file", cwd=str(top), text=CONTENTS[turn % 2], umask=0o022, destinations=Memory())
        assert (top / "file").read_bytes() == CONTENTS[turn % 2]
    assert end() > 0


def test_a_reader_never_misses_a_file_while_revisions_are_applied(tmp_path, reader):
    site = Site(tmp_path)
    site.program("COPY files/a $D/file")
    site.file("files/a", CONTENTS[0].decode())
    site.apply()
    end = reader(site.root / "file")
    for turn in range(1, 11):
        site.file("files/a", CONTENTS[turn % 2].decode())
        site.apply()
        assert (site.root / "file").read_bytes() == CONTENTS[turn % 2]
    assert end() > 0
