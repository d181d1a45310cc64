"""The options of rsync that COPY understands.

Only what :mod:`nodeagent.apply.copy` does exactly is understood; anything else makes the whole statement shell. Options
that change nothing of what a local copy leaves behind (what is printed, how data travels) are understood as nothing.
Their names and the order in which they act are those of rsync(1): each one sets or clears a flag, the last wins, and
``-a`` sets the seven of ``-rlptgoD``. What versions of rsync do differently is not understood.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nodeagent.apply.chmod import ModeChange, parse_changes
from nodeagent.apply.filters import PatternError, Rule, Rules, rule

ARCHIVE = frozenset({"recursive", "links", "perms", "times", "group", "owner", "devices", "specials"})

_SETS: dict[str, frozenset[str]] = {
    "archive": ARCHIVE,
    "recursive": frozenset({"recursive"}),
    "links": frozenset({"links"}),
    "perms": frozenset({"perms"}),
    "times": frozenset({"times"}),
    "omit-dir-times": frozenset({"omit_dir_times"}),
    "group": frozenset({"group"}),
    "owner": frozenset({"owner"}),
    "devices": frozenset({"devices"}),
    "specials": frozenset({"specials"}),
    "D": frozenset({"devices", "specials"}),
    "mkpath": frozenset({"mkpath"}),
    "force": frozenset({"force"}),
    # When it is that rsync deletes makes no difference to what is left in the end.
    "delete": frozenset({"delete"}),
    "del": frozenset({"delete"}),
    "delete-before": frozenset({"delete"}),
    "delete-during": frozenset({"delete"}),
    "delete-delay": frozenset({"delete"}),
    "delete-after": frozenset({"delete"}),
    "delete-excluded": frozenset({"delete", "delete_excluded"}),
}

_DELETE_WHEN = frozenset({"delete-before", "delete-during", "delete-delay", "delete-after"})

_SHORT = {
    "a": "archive",
    "r": "recursive",
    "l": "links",
    "p": "perms",
    "t": "times",
    "O": "omit-dir-times",
    "g": "group",
    "o": "owner",
    "D": "D",
}

_CAN_BE_CLEARED = frozenset(_SHORT.values()) - {"archive"}

# Content is always compared and files are always placed whole, so that these change nothing either.
_NO_EFFECT = frozenset(
    {
        "8-bit-output",
        "checksum",
        "compress",
        "human-readable",
        "ignore-times",
        "itemize-changes",
        "numeric-ids",
        "partial",
        "progress",
        "protect-args",
        "quiet",
        "sparse",
        "stats",
        "verbose",
        "whole-file",
    }
)
_NO_EFFECT_SHORT = frozenset("8chiIPqsSvWz")
_NO_EFFECT_CLEARED = _NO_EFFECT - {"ignore-times", "quiet", "stats"} | frozenset("8SWchisvz")
_INFO = r"(?:del|flist|misc|name|nonreg|progress|skip|stats)[0-2]?"
_NO_EFFECT_VALUED = {
    "info": rf"{_INFO}(?:,{_INFO})*",
    "timeout": r"\d+",
    "bwlimit": r"\d+[kKmM]?",
    "compress-level": r"\d",
}
_VALUED = frozenset({"exclude", "include", "chmod", "chown", *_NO_EFFECT_VALUED})

_OWNER = re.compile(r"([\w.$-]*)(?::([\w.$-]*))?")  # what --usermap would read in another way is not understood


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """What an rsync command line asks for, one flag each, by rsync's names.

    ``rules`` are those of ``--include`` and ``--exclude``; ``user`` and ``new_group`` the names or numbers of
    ``--chown``, empty where it does not say.
    """

    recursive: bool = False
    links: bool = False
    perms: bool = False
    times: bool = False
    omit_dir_times: bool = False
    group: bool = False
    owner: bool = False
    devices: bool = False
    specials: bool = False
    mkpath: bool = False
    force: bool = False
    delete: bool = False
    delete_excluded: bool = False
    rules: Rules = field(default_factory=Rules)
    chmod: tuple[ModeChange, ...] = ()
    user: str = ""
    new_group: str = ""

    @property
    def protecting(self) -> Rules:
        """What ``--delete`` spares."""
        return Rules() if self.delete_excluded else self.rules


@dataclass(slots=True)
class _Reading:
    """The command line as far as it is read."""

    flags: set[str] = field(default_factory=set)
    rules: list[Rule] = field(default_factory=list)
    chmod: list[str] = field(default_factory=list)
    user: str = ""
    group: str = ""
    delete_when: set[str] = field(default_factory=set)

    def short(self, letters: str) -> bool:
        for letter in letters:
            if letter in _SHORT:
                self.flags |= _SETS[_SHORT[letter]]
            elif letter not in _NO_EFFECT_SHORT:
                return False
        return bool(letters)

    def long(self, name: str) -> bool:
        if name in _SETS and name != "D":
            self.flags |= _SETS[name]
            self.delete_when |= _DELETE_WHEN.intersection({name})
            return True
        if name in _NO_EFFECT:
            return True
        if not name.startswith("no-"):
            return False
        cleared = name.removeprefix("no-")
        cleared = _SHORT.get(cleared, cleared)
        if cleared in _CAN_BE_CLEARED:
            self.flags -= _SETS[cleared]
            return True
        return cleared in _NO_EFFECT_CLEARED

    def valued(self, name: str, value: str) -> bool:
        if name in {"exclude", "include"}:
            try:
                self.rules.append(rule(value, include=name == "include"))
            except PatternError:
                return False
            return True
        if name == "chmod":
            self.chmod.append(value)
            return True
        if name == "chown":
            return self._chown(value)
        return re.fullmatch(_NO_EFFECT_VALUED[name], value) is not None

    def _chown(self, value: str) -> bool:
        found = _OWNER.fullmatch(value)
        if found is None:
            return False
        user, group = found[1], found[2] or ""
        if (user and self.user) or (group and self.group):
            return False  # rsync refuses it
        self.user, self.group = user or self.user, group or self.group
        return True

    def options(self) -> CopyOptions | None:
        changes = parse_changes(self.chmod)
        flags = self.flags
        if changes is None or ("delete" in flags and "recursive" not in flags) or len(self.delete_when) > 1:
            return None  # rsync refuses it
        if (self.user and "owner" not in flags) or (self.group and "group" not in flags):
            return None  # newer versions take them for implied, older ones ignore the --chown
        return CopyOptions(
            **dict.fromkeys(flags, True),
            rules=Rules(tuple(self.rules)),
            chmod=changes,
            user=self.user,
            new_group=self.group,
        )


def parse(words: Sequence[str]) -> CopyOptions | None:
    """Understand the option words of an rsync command line (without the program's name and the operands).

    A ``--`` may end them.

    Returns:
        The options, or None when a word is not an option or is one that COPY does not do exactly.
    """
    reading = _Reading()
    rest = iter(words[:-1] if words and words[-1] == "--" else words)
    return reading.options() if all(_take(reading, word, rest) for word in rest) else None


def _take(reading: _Reading, word: str, rest: Iterator[str]) -> bool:
    """Read one option, and the word behind it if that is its value."""
    if not word.startswith("--"):
        return word.startswith("-") and reading.short(word[1:])
    name, equals, value = word[2:].partition("=")
    if name not in _VALUED:
        return not equals and reading.long(name)
    if not equals:
        following = next(rest, None)
        if following is None:
            return False
        value = following
    return reading.valued(name, value)


def is_local(operand: str) -> bool:
    """Whether rsync takes this word for a file of this machine: not an option, not ``HOST:PATH`` or ``rsync://``."""
    return bool(operand) and not operand.startswith("-") and ":" not in operand.partition("/")[0]
