"""The options of rsync that COPY understands.

Only what :mod:`nodeagent.apply.copy` does exactly is understood; anything else makes the whole statement shell. Options
that change nothing of what a local copy leaves behind (what is printed, how data travels) are understood as nothing.
Their names and the order in which they act are those of rsync(1): each one sets or clears a flag, the last wins, and
``-a`` sets the seven of ``-rlptgoD``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ARCHIVE = frozenset({"recursive", "links", "perms", "times", "group", "owner", "devices", "specials"})

_SETS: dict[str, frozenset[str]] = {
    "archive": ARCHIVE,
    "recursive": frozenset({"recursive"}),
    "links": frozenset({"links"}),
    "perms": frozenset({"perms"}),
    "times": frozenset({"times"}),
    "group": frozenset({"group"}),
    "owner": frozenset({"owner"}),
    "devices": frozenset({"devices"}),
    "specials": frozenset({"specials"}),
    "D": frozenset({"devices", "specials"}),
    "mkpath": frozenset({"mkpath"}),
    "delete": frozenset({"delete"}),
    "del": frozenset({"delete"}),
    "delete-during": frozenset({"delete"}),
}

_SHORT = {
    "a": "archive",
    "r": "recursive",
    "l": "links",
    "p": "perms",
    "t": "times",
    "g": "group",
    "o": "owner",
    "D": "D",
}

_CANNOT_BE_CLEARED = frozenset({"archive", "delete", "del", "delete-during", "mkpath"})

# Content is always compared and files are always placed whole, so that these change nothing either.
_NO_EFFECT = frozenset(
    {
        "checksum",
        "compress",
        "human-readable",
        "ignore-times",
        "itemize-changes",
        "progress",
        "quiet",
        "stats",
        "verbose",
        "whole-file",
    }
)
_NO_EFFECT_SHORT = frozenset("chiIqvWz")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """What an rsync command line asks for, one flag each, by rsync's names."""

    recursive: bool = False
    links: bool = False
    perms: bool = False
    times: bool = False
    group: bool = False
    owner: bool = False
    devices: bool = False
    specials: bool = False
    mkpath: bool = False
    delete: bool = False


def parse(words: Sequence[str]) -> CopyOptions | None:
    """Understand the option words of an rsync command line (without the program's name and the operands).

    A ``--`` may end them.

    Returns:
        The options, or None when a word is not an option or is one that COPY does not do exactly.
    """
    flags: set[str] = set()
    for word in words[:-1] if words and words[-1] == "--" else words:
        understood = _long(word[2:], flags) if word.startswith("--") else _short(word, flags)
        if not understood:
            return None
    if "delete" in flags and "recursive" not in flags:
        return None  # rsync refuses it
    return CopyOptions(**dict.fromkeys(flags, True))


def is_local(operand: str) -> bool:
    """Whether rsync takes this word for a file of this machine: not an option, not ``HOST:PATH`` or ``rsync://``."""
    return bool(operand) and not operand.startswith("-") and ":" not in operand.partition("/")[0]


def _short(word: str, flags: set[str]) -> bool:
    if len(word) < 2 or not word.startswith("-"):
        return False
    for letter in word[1:]:
        if letter in _SHORT:
            flags |= _SETS[_SHORT[letter]]
        elif letter not in _NO_EFFECT_SHORT:
            return False
    return True


def _long(name: str, flags: set[str]) -> bool:
    if name in _SETS and name != "D":
        flags |= _SETS[name]
        return True
    if name in _NO_EFFECT:
        return True
    if not name.startswith("no-"):
        return False
    cleared = name.removeprefix("no-")
    cleared = _SHORT.get(cleared, cleared)
    if cleared in _SETS and cleared not in _CANNOT_BE_CLEARED:
        flags -= _SETS[cleared]
        return True
    return cleared in _NO_EFFECT or cleared in _NO_EFFECT_SHORT
