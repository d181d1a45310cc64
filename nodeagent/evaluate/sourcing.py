"""The files of a program while it runs: which text the shell finds where, and which files it has sourced.

The program's own file holds the instrumented text until the verbs say ``hello``. A file of the repository holds it from
the request ``dot`` before a ``.`` to the first line of that text, which says ``in``; so its path, its name and its line
numbers are its own. Whatever else the shell asks for also brings the file's own text back. Where the status of a ``.``
is used and the text does not tell its file, the request is ``see``: the file is looked at, and read as it is.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from nodeagent.evaluate.attached import Problem, refuse, unfollowed
from nodeagent.evaluate.copy_function import CopyFunction
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.stand import Stand
from nodeagent.evaluate.stand_in import in_place_of, restore_original
from nodeagent.node import needs

_SIZE_LIMIT = 2**20  # bytes that are read of a file that is not known


def with_notice(text: bytes) -> bytes:
    """Say in line 1 that the file has been opened; ``$?`` stays as the file finds it."""
    return b"{ __na_in && :; } 2>/dev/null; " + text


class Note:
    """A list on disk of the files that may hold another text for a moment, for the agent after one that was killed."""

    def __init__(self, state: Path) -> None:
        self._file = state / "stand-ins"

    def restore(self) -> None:
        """Bring back what still is replaced, as a killed agent leaves it; nothing is noted any more."""
        if self._file.exists():
            for name in self._file.read_bytes().split(b"\0"):
                if name and os.path.isdir(os.path.dirname(name)):
                    restore_original(Path(os.fsdecode(name)))
            self._file.unlink(missing_ok=True)

    def write(self, files: list[Path]) -> None:
        with needs(self._file), self._file.open("wb") as file:
            file.write(b"\0".join(map(os.fsencode, files)))
            file.flush()
            os.fsync(file.fileno())


class Sourcing:
    """The texts of one run; to be left when the shell has ended."""

    def __init__(
        self, *, directory: Path, entry: str, text: bytes, sourced: Mapping[str, tuple[bytes, bytes]], note: Note
    ) -> None:
        """Take charge of the files below a directory.

        Args:
            directory: the checkout.
            entry: the program's name in it.
            text: the program's instrumented text, with the verbs.
            sourced: by name, the text of a file as it was read, and the one to be put in its place.
            note: where to write down what may be replaced.
        """
        self._directory = Path(os.path.realpath(directory))
        self._entry = entry
        places = {os.path.realpath(self._directory / name): texts for name, texts in sourced.items()}
        self._texts = {path: texts for path, texts in places.items() if Path(path).is_relative_to(self._directory)}
        self._note = note
        self._standing = contextlib.ExitStack()
        self._program = in_place_of(directory / entry, text)
        self._opening = ""
        self._opened: set[str] = set()
        self._others: list[bytes] = []

    def __enter__(self) -> Self:
        if self._texts:
            self._note.write([Path(path) for path in self._texts])
        self._standing.enter_context(self._program)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._standing.close()
        if self._texts and value is None:  # an error may be that a text could not be brought back: the note stays
            self._note.restore()

    def request(self, words: list[str], stand: Stand) -> bool:
        """Answer a request that is about files: is it one?

        Raises:
            AnnotationInvalid: the shell is about to read a file as it is in which there is an annotation.
        """
        self._standing.close()
        match words:
            case ["hello"]:
                return True
            case ["dot" | "see" as verb, file, path]:
                self._dot(file, path, stand, as_it_is=verb == "see")
                return True
            case ["in"]:
                self._opened.add(self._opening)
                return True
            case _:
                return False

    def holds(self, function: CopyFunction) -> bool:
        """Is a function that is defined by now surely the one that was read?"""
        home = os.path.realpath(self._directory / function.file)
        defines = re.compile(rb"(?<![\w-])" + re.escape(function.name.encode()) + rb"(?![\w-])")
        known = function.file == self._entry or home in self._opened
        return known and not any(defines.search(text) for text in self._others)

    def _dot(self, file: str, path: str, stand: Stand, *, as_it_is: bool) -> None:
        found = next((p for p in _places(file, path, stand.cwd) if os.path.isfile(p)), None)
        if found is None:
            return  # the shell will say so
        found = os.path.realpath(found)
        with open(found, "rb") as opened:
            text = opened.read(_SIZE_LIMIT)
        original, instrumented = self._texts.get(found, (None, b""))
        if text != original or as_it_is:
            refuse(_annotations(text, os.path.relpath(found, self._directory)))
            self._others.append(text)
            return
        self._opening = found
        with contextlib.suppress(OSError):  # its directory is read-only: the shell reads the file as it is
            self._standing.enter_context(in_place_of(Path(found), instrumented))


def _annotations(text: bytes, file: str) -> Sequence[Problem]:
    if b"nodeagent:" not in text:
        return ()
    return unfollowed(
        parse(text), file, "it is not named where it is sourced, or has changed since the evaluation began"
    )


def _places(file: str, path: str, cwd: str) -> Iterator[str]:
    """Where a shell looks for the file: only without a slash along PATH."""
    if "/" not in file:
        for directory in path.split(":"):
            yield os.path.join(cwd, directory or ".", file)
    yield os.path.join(cwd, file)
