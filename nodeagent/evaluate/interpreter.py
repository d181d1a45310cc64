"""Which program post.sh asks for in its first line."""

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

_SHELLS = frozenset({"sh", "dash", "bash", "ash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """``argv`` starts the program; the script's path follows. ``native``: a shell that the verbs are written for."""

    argv: tuple[str, ...]
    native: bool


def interpreter(text: bytes) -> Interpreter:
    """Read the ``#!`` line as the kernel does: a program and at most one argument (``env`` splits with ``-S``).

    A text without one is run as the kernel's callers run it, by ``/bin/sh``, but not natively: nothing says that it
    is shell.
    """
    first = text.split(b"\n", 1)[0].rstrip(b"\r")
    if not first.startswith(b"#!"):
        return Interpreter(argv=("/bin/sh",), native=False)
    program, _, argument = first[2:].strip().decode(errors="surrogateescape").partition(" ")
    if not program:
        return Interpreter(argv=("/bin/sh",), native=False)
    argv = (program, argument.strip()) if argument.strip() else (program,)
    return Interpreter(argv=argv, native=_is_native(argv))


def _is_native(argv: tuple[str, ...]) -> bool:
    name = PurePosixPath(argv[0]).name
    rest = argv[1:]
    if name == "env" and rest:
        words = shlex.split(rest[0].removeprefix("-S"))
        name, rest = (PurePosixPath(words[0]).name if words else ""), tuple(words[1:])
    if name == "busybox" and rest:
        words = rest[0].split()
        name, rest = words[0], tuple(words[1:])
    # -c, -s and the like would make the script something else than the program that is run
    return name in _SHELLS and all(set(option) <= set("-efuxvh") and option.startswith("-") for option in rest)
