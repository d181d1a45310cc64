"""Which program post.sh asks for in its first line."""

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

_SHELLS = frozenset({"sh", "dash", "bash", "ash"})
# Options that leave the verbs what they are; -c, -s and the like would make the script something else than the program.
_LETTERS = frozenset("efhpuvx")
_LONG = frozenset({"--noprofile", "--norc", "--posix"})
_NO_SHELL = "its first line names no shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """``argv`` starts the program; the script's path follows. ``whole`` says why it is no shell that the verbs are
    written for."""

    argv: tuple[str, ...]
    whole: str = ""

    @property
    def native(self) -> bool:
        return not self.whole

    @property
    def is_bash(self) -> bool:
        return _shell(self.argv)[0] == "bash"


def interpreter(text: bytes) -> Interpreter:
    """Read the ``#!`` line as the kernel does: a program and at most one argument (``env`` splits with ``-S``).

    A text without one is run as the kernel's callers run it, by ``/bin/sh``, but not natively: nothing says that it
    is shell.
    """
    first = text.split(b"\n", 1)[0].rstrip(b"\r")
    program, _, argument = first[2:].strip().decode(errors="surrogateescape").replace("\t", " ").partition(" ")
    if not (first.startswith(b"#!") and program):
        return Interpreter(argv=("/bin/sh",), whole=_NO_SHELL)
    argument = argument.strip()
    if PurePosixPath(program).name in _SHELLS and argument in {"-", "--"}:
        argument = ""  # the end of the options
    argv = (program, argument) if argument else (program,)
    return Interpreter(argv=argv, whole=_whole(argv))


def _shell(argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The name of what is run at last, and its options."""
    name = PurePosixPath(argv[0]).name
    options = argv[1:]
    if options and name in {"env", "busybox"}:
        words = shlex.split(options[0].removeprefix("-S")) if name == "env" else options[0].split()
        name, options = (PurePosixPath(words[0]).name if words else ""), tuple(words[1:])
    return name, options


def _whole(argv: tuple[str, ...]) -> str:
    name, options = _shell(argv)
    if name not in _SHELLS:
        return _NO_SHELL
    unknown = [option for option in options if option not in _LONG and not _LETTERS.issuperset(option[1:])]
    unknown += [option for option in options if not option.startswith("-")]
    return f"its first line gives {name} {unknown[0]}" if unknown else ""
