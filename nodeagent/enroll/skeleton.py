"""A new configuration repository: the guide's layout, with a post.sh that is good practice."""

import enum
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nodeagent.errors import InvalidConfiguration


class Ci(enum.Enum):
    """Which service lints the repository at each push; the value is the command line's word."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    path: str
    content: bytes
    executable: bool = False


_FILES = (
    "README.md",
    "post.sh",
    "files/hosts/cluster",
    "files/motd/motd",
    "files/profile.d/cluster.sh",
    "files/sysctl.d/90-cluster.conf",
    "postscripts/set-role",
)
_EXECUTABLE = frozenset({"post.sh", "postscripts/set-role"})


def skeleton(ci: Ci) -> Iterator[File]:
    """The files of a new repository."""
    for path in _FILES:
        yield File(path=path, content=_template(path), executable=path in _EXECUTABLE)
    match ci:
        case Ci.GITHUB:
            yield File(path=".github/workflows/lint.yml", content=_template("github.yml"))
        case Ci.GITLAB:
            yield File(path=".gitlab-ci.yml", content=_template("gitlab.yml"))
        case Ci.NONE:
            pass


def write(directory: Path, ci: Ci) -> list[Path]:
    """Write all files or none, into a directory that is empty (but for ``.git``) or not there yet; in this order.

    Raises:
        InvalidConfiguration: the directory holds something already, or cannot be written.
    """
    made: list[Path] = []
    written: list[Path] = []
    try:
        _make(directory, made)
        with os.scandir(directory) as found:
            names = {entry.name for entry in found} - {".git"}  # what git init or the clone of an empty one leaves
        if names:
            more = f", or let nodeagent lint {directory} read the post.sh that is there" if "post.sh" in names else ""
            raise InvalidConfiguration(
                f"{directory}: is not empty, and nothing is ever overwritten: name a new directory{more}"
            )
        for file in skeleton(ci):
            path = directory / file.path
            _make(path.parent, made)
            _write_new(path, file, written)
    except BaseException as error:
        for path in reversed(written):
            path.unlink()
        for path in reversed(made):
            path.rmdir()
        if isinstance(error, OSError):
            what = f"{error.filename or directory}: cannot be written: {error.strerror}"
            raise InvalidConfiguration(f"{what}: name a new directory where it can be") from error
        raise
    return written


def _make(directory: Path, made: list[Path]) -> None:
    """Make a directory and those above it; notes each one that was not there."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


def _write_new(path: Path, file: File, written: list[Path]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if file.executable else 0o666)
    written.append(path)
    with open(descriptor, "wb") as stream:
        stream.write(file.content)


def _template(path: str) -> bytes:
    return resources.files("nodeagent.enroll").joinpath("template", path).read_bytes()
