"""``--chmod`` of rsync(1): changes of a mode as in chmod(1), with ``D`` and ``F`` for directories and other things.

Only what all versions of rsync do alike is understood: not ``g=u`` (copied bits), nor ``s`` for ``a``.
"""

import functools
import operator
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ALL = 0o7777
_EXECUTE = 0o111
_WHO = {"u": 0o100, "g": 0o010, "o": 0o001, "a": 0o111}
_SPECIAL = {"u": stat.S_ISUID, "g": stat.S_ISGID}
_WHAT = {"r": 4, "w": 2, "x": 1, "X": 1}

_OCTAL = re.compile(r"[DF]*([0-7]+)")
_SYMBOLIC = re.compile(r"([DFugoa]*)([-+=])([rwxXst]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """One clause. The bits of ``keeps`` stay, then those of ``adds`` are set; ``masked``: but for the umask's.

    ``conditional`` (``X``): execute bits are added to a directory, or where one was set before.
    """

    directories: bool
    files: bool
    keeps: int
    adds: int
    removes: int = 0
    masked: bool = False
    conditional: bool = False

    def apply(self, mode: int, *, umask: int, executable: bool) -> int:
        mask = _ALL & ~umask if self.masked else _ALL
        adds = self.adds & ~_EXECUTE if self.conditional and not executable else self.adds
        return (mode & self.keeps & ~(self.removes & mask)) | (adds & mask)


def parse_changes(words: Sequence[str]) -> tuple[ModeChange, ...] | None:
    """Read the values of all ``--chmod`` options; None when one is not understood."""
    changes = [_clause(clause) for word in words for clause in word.split(",")]
    return None if None in changes else tuple(change for change in changes if change is not None)


def changed(mode: int, changes: Sequence[ModeChange], *, umask: int) -> int:
    """The mode (with its type bits) after all changes; a link has none."""
    if stat.S_ISLNK(mode):
        return mode
    directory = stat.S_ISDIR(mode)
    executable = directory or bool(mode & _EXECUTE)
    permissions = stat.S_IMODE(mode)
    for change in changes:
        if change.directories if directory else change.files:
            permissions = change.apply(permissions, umask=umask, executable=executable)
    return stat.S_IFMT(mode) | permissions


def _clause(text: str) -> ModeChange | None:
    kinds = {"D", "F"}.intersection(text)
    if len(kinds) == 2:
        return None
    directories, files = "F" not in kinds, "D" not in kinds
    if octal := _OCTAL.fullmatch(text):
        bits = int(octal[1], 8)
        return ModeChange(directories=directories, files=files, keeps=0, adds=bits) if bits <= _ALL else None
    symbolic = _SYMBOLIC.fullmatch(text)
    if symbolic is None:
        return None
    who, sign, what = symbolic.groups()
    where = _union(_WHO, who) or _EXECUTE
    special = _union(_SPECIAL, who)
    if "s" in what and ("a" in who or not special):
        return None
    bits = where * _union(_WHAT, what) | (special if "s" in what else 0) | (stat.S_ISVTX if "t" in what else 0)
    keeps = _ALL & ~(where * 7 | (special if {"s", "t"}.intersection(what) else 0)) if sign == "=" else _ALL
    return ModeChange(
        directories=directories,
        files=files,
        keeps=keeps,
        adds=0 if sign == "-" else bits,
        removes=bits if sign == "-" else 0,
        masked=not _union(_WHO, who),
        conditional="X" in what,
    )


def _union(table: Mapping[str, int], letters: str) -> int:
    return functools.reduce(operator.or_, (table.get(letter, 0) for letter in letters), 0)
