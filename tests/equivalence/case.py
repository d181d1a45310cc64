"""A case: one file that holds a small repository, a starting tree, and what each line of post.sh is to be.

::

    A sentence that says what the case shows.
    row: append, hit
    === post.sh
            | #!/bin/sh
    APPEND  | echo a >>/etc/b
    === files/a 0600 900:900
    content
    === /etc/b
    what stands there before

``row`` names the construct and whether the case is a ``hit`` of it or a ``near`` miss. Left of ``|``, in post.sh and
in what it sources, stand the phases of the steps that the agent tells of that line, none where the shell does it;
``EXECUTE*`` is a step that runs at every apply, since its tree is new or its text. Relative paths are the
repository's, others the starting tree's. After a path: mode, ``UID:GID``, ``-> TARGET`` for a link, ``escaped`` for
content with Python's backslash escapes, ``open`` for content whose last line has no end; a ``/`` behind it makes a
directory.

Other keys: ``shells: bash`` (only that one), ``shells: own`` (the first line is left as it is); ``args`` of post.sh;
``differs: NAME PATH`` for a difference that is permitted; ``whole: REASON`` for a program that runs as one step;
``once: REASON`` where a second apply would wait for ever for what a done step has done in the first.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.equivalence.root import File

CASES = Path(__file__).parent / "cases"
SHELLS = {"dash": b"#!/usr/bin/dash", "bash": b"#!/bin/bash", "ash": b"#!/stubs/ash"}

# In every repository unless a case brings its own: files of different sizes, a program that says how it was called and
# ends as its first argument says.
DEFAULTS = {
    b"files/a": File(content=b"first\n"),
    b"files/b": File(content=b"the second\n"),
    b"files/c": File(content=b"and the third one\n", mode=0o600),
    b"postscripts/step": File(
        content=b'#!/bin/sh\necho "step $*" >>/run/steps\necho "did $*"\nexit ${1:-0}\n', mode=0o755
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``expected`` holds (file, line, phase) of every step that is to be told, ``always`` (file, line) of those that
    run each time."""

    name: str
    says: str
    row: str
    hit: bool
    shells: Sequence[str]
    args: Sequence[str]
    differs: Sequence[tuple[str, str]]
    whole: str
    once: str
    files: Mapping[bytes, File]
    expected: frozenset[tuple[str, int, str]]
    always: frozenset[tuple[str, int]]

    def files_for(self, shell: str) -> dict[bytes, File]:
        """The files, with post.sh's first line rewritten for a shell."""
        files = dict(self.files)
        files[b"post.sh"] = for_shell(files[b"post.sh"], shell)
        return files


def for_shell(script: File, shell: str) -> File:
    first, newline, rest = script.content.partition(b"\n")
    if shell == "own":
        return script
    path, space, options = first.partition(b" ")
    assert path in {b"#!/bin/sh", b"#!/bin/bash"}, f"{path!r} has no equal in other shells: shells: own"
    return File(content=SHELLS[shell] + space + options + newline + rest, mode=script.mode, owner=script.owner)


def load(path: Path) -> Case:
    """Read a case's file.

    Raises:
        ValueError: it is not in the format.
    """
    head, *sections = re.split(rb"^=== ", path.read_bytes(), flags=re.M)
    says, keys = _head(head.decode())
    files = dict(DEFAULTS)
    expected: set[tuple[str, int, str]] = set()
    for section in sections:
        title, _, content = section.partition(b"\n")
        name, file = _section(title.decode(), content, expected)
        files[name] = file
    row, _, kind = keys["row"].partition(", ")
    if kind not in {"hit", "near"} or b"post.sh" not in files:
        raise ValueError(f"{path}: it needs `row: NAME, hit` or `near`, and a post.sh")
    if "whole" in keys:
        expected.add(("post.sh", 1, "EXECUTE"))
    return Case(
        name=str(path.relative_to(CASES).with_suffix("")),
        says=says,
        row=row,
        hit=kind == "hit",
        shells=keys["shells"].split() if "shells" in keys else tuple(SHELLS),
        args=shlex.split(keys.get("args", "")),
        differs=_differs(keys.get("differs", "")),
        whole=keys.get("whole", ""),
        once=keys.get("once", ""),
        files=files,
        expected=frozenset((file, line, phase.removesuffix("*")) for file, line, phase in expected),
        always=frozenset((file, line) for file, line, phase in expected if phase.endswith("*")),
    )


def _differs(text: str) -> list[tuple[str, str]]:
    claims = (claim.partition(" ") for claim in text.split(", ") if claim)
    return [(name, path) for name, _, path in claims]


def cases() -> Iterator[Case]:
    for path in sorted(CASES.rglob("*.case")):
        yield load(path)


def _head(text: str) -> tuple[str, dict[str, str]]:
    says: list[str] = []
    keys: dict[str, str] = {}
    for line in text.splitlines():
        found = re.fullmatch(r"(row|shells|args|differs|whole|once): *(.*)", line)
        if found:
            keys[found[1]] = found[2]
        elif line:
            says.append(line)
    return " ".join(says), keys


def _section(title: str, content: bytes, expected: set[tuple[str, int, str]]) -> tuple[bytes, File]:
    name, *words = shlex.split(title)
    path = name.encode().decode("unicode_escape").encode("latin-1") if "\\" in name else name.encode()
    mode, owner = None, (0, 0)
    while words:
        word = words.pop(0)
        if word == "->":
            return path, File(kind="link", content=words.pop(0).encode(), owner=owner)
        if word == "escaped":
            content = content.decode().encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
        elif word == "open":
            content = content.removesuffix(b"\n")
        elif ":" in word:
            user, group = word.split(":")
            owner = int(user), int(group)
        else:
            mode = int(word, 8)
    if path.endswith(b"/"):
        return path.rstrip(b"/"), File(kind="directory", mode=mode or 0o755, owner=owner)
    if path == b"post.sh":
        mode = mode or 0o755
    if path.endswith(b".sh"):
        content = _margin(path.decode(), content, expected)
    return path, File(content=content, mode=0o644 if mode is None else mode, owner=owner)


def _margin(file: str, content: bytes, expected: set[tuple[str, int, str]]) -> bytes:
    """Take the phases off; without any margin in the first line there is none."""
    lines = content.split(b"\n")
    if not re.match(rb"[A-Z* ]*\|", lines[0]):
        return content
    text: list[bytes] = []
    for number, line in enumerate(lines, 1):
        margin, bar, rest = line.partition(b"|")
        if not bar and line:
            raise ValueError(f"line {number} of {file} has no margin: {line!r}")
        expected |= {(file, number, phase) for phase in margin.decode().split()}
        text.append(rest.removeprefix(b" "))
    return b"\n".join(text)
