"""Secrets that can be told from all else, and where they turn up: in files, command lines, environments, memory."""

import base64
import contextlib
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

_CHUNK = 2**20
_PIECE = 20  # characters of base64 that are looked for: 15 bytes


def password() -> bytes:
    """A password that occurs nowhere else."""
    return b"Marked-" + secrets.token_hex(16).encode()


def forms_of_key(private: bytes, public: bytes) -> Sequence[bytes]:
    """What betrays an ed25519 key, in whatever form it is written: its seed's bytes, and base64 of these.

    Args:
        private: in OpenSSH's form.
        public: the line of its ``.pub``.
    """
    body = base64.b64decode(b"".join(private.splitlines()[1:-1]))
    half = base64.b64decode(public.split()[1])[-32:]
    seed = body[body.rindex(half) - 32 : body.rindex(half)]
    found = [seed[:16], seed[16:], seed.hex().encode(), seed.hex().upper().encode()]
    for shift in range(3):  # where a group of three bytes begins
        text = base64.b64encode(bytes(shift) + seed)[4:-4]
        found += [text[:_PIECE], text[-_PIECE:]]  # a line may end in one of them, not in both
    return found


class Marks:
    """What is looked for; ``names`` in a result are of this mapping's keys."""

    def __init__(self, marks: Mapping[str, Sequence[bytes]]) -> None:
        self._marks = marks
        self._longest = max(len(mark) for several in marks.values() for mark in several)

    def in_bytes(self, data: bytes) -> set[str]:
        return {name for name, several in self._marks.items() if any(mark in data for mark in several)}

    def in_file(self, path: Path) -> set[str]:
        found: set[str] = set()
        rest = b""
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                found |= self.in_bytes(rest + chunk)
                rest = chunk[-self._longest :]
        return found

    def below(self, top: Path, *, skip: Callable[[Path], bool] = lambda _: False) -> dict[Path, set[str]]:
        """The regular files below a directory that hold one, and which; no link is followed."""
        found = {}
        for directory, names, files in os.walk(top):
            here = Path(directory)
            names[:] = [name for name in names if not skip(here / name)]
            for path in (here / name for name in files):
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(path.lstat().st_mode) and not skip(path) and (held := self.in_file(path)):
                        found[path] = held
        return found


def memory_of(pid: int) -> bytes:
    """All that a process has in memory, and a core of it would hold; asked for by root."""
    image = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, permissions, *_rest = line.split()
            if not permissions.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            begin, end = (int(number, 16) for number in where.split("-"))
            with contextlib.suppress(OSError):  # a mapping beyond the end of its file
                memory.seek(begin)
                while begin < end and (piece := memory.read(min(end - begin, _CHUNK))):
                    image.append(piece)
                    begin += len(piece)
    return b"".join(image)


class Watch:
    """Reads the command lines and environments of some processes again and again, for as long as the block runs."""

    def __init__(self, marks: Marks, concerned: Callable[[int], bool]) -> None:
        self.seen: set[bytes] = set()
        self.found: set[str] = set()
        self.marks = marks
        self._concerned = concerned
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            for text in self._texts():
                self.seen.add(text)
                self.found |= self.marks.in_bytes(text)

    def _texts(self) -> Iterator[bytes]:
        for name in filter(str.isdigit, os.listdir("/proc")):
            if self._concerned(int(name)):
                for kind in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        yield Path(f"/proc/{name}/{kind}").read_bytes()
