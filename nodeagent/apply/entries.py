"""The entries of a user database (``passwd``, ``shadow``, ``group``, ``gshadow``): merged by name, and taken out again.

Pure: text in, text out. What a line is, and where an entry goes, is what the shell function in docs/spec.md says; the
equivalence suite compares the two.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from nodeagent.model.destinations import Entry

_NIS = (b"+", b"-")  # compat(5): what follows the first such line is asked for only where NIS has no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one MERGE wants of a destination: a line by name."""

    statement: str
    lines: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the file comes to be, which of its lines are nodeagent's then, and those that are not any more."""

    text: bytes
    entries: Sequence[Entry]
    dropped: Sequence[Entry]


def decide(
    text: bytes,
    known: Sequence[Entry],
    wanted: Wanted,
    *,
    others: Sequence[Wanted],
    live: Set[str],
    add_only: bool,
) -> Decision:
    """Decide what one MERGE makes of a file.

    Args:
        text: What the file holds.
        known: The entries that MERGEs put there until now.
        wanted: What this one wants.
        others: What those of the same evaluation wanted; a name that this one drops may be wanted by another.
        live: The keys of all statements of the program: what others put there goes.
        add_only: Leave lines of a wanted name as they are.
    """
    standing = former_of(text, wanted.lines) if add_only else {}
    mine = {key: (wanted.statement, line) for key, line in wanted.lines.items() if key not in standing}
    at = {_name(entry): entry for entry in known}
    gone = [
        entry
        for key, entry in at.items()
        if key not in wanted.lines and (entry.statement == wanted.statement or entry.statement not in live)
    ]
    for other in others:
        mine |= {key: (other.statement, other.lines[key]) for key in map(_name, gone) if key in other.lines}
    dropped = [entry for entry in gone if _name(entry) not in mine]
    cleared, _ = take_out(text, dropped)
    former = former_of(cleared, mine.keys() - at.keys())
    new = [
        Entry(statement=owner, text=line, former=at[key].former if key in at else former.get(key))
        for key, (owner, line) in mine.items()
    ]
    stays = [entry for key, entry in at.items() if key not in mine and entry not in dropped]
    merged = merge(cleared, {key: line for key, (_, line) in mine.items()})
    return Decision(text=merged, entries=[*stays, *new], dropped=dropped)


def key_of(line: bytes) -> bytes | None:
    """The name that an entry is for; None: the line is no entry, but a comment, empty, or without a name."""
    name, colon, _ = line.partition(b":")
    if line.startswith(_NIS) or (colon and name and not line.startswith((b"#", b" ", b"\t"))):
        return name
    return None


def entries_of(text: bytes) -> dict[bytes, bytes]:
    """The lines of a merge file that are entries, by name; of several with one name the first, which lookups find."""
    found: dict[bytes, bytes] = {}
    for line in _lines(text):
        key = key_of(line)
        if key is not None:
            found.setdefault(key, line)
    return found


def merge(text: bytes, wanted: Mapping[bytes, bytes]) -> bytes:
    """Put each wanted entry where the first one of its name stands (later ones go), or behind all others.

    New entries stand above the first NIS line (``+``, ``-``), as useradd(8) places them; new NIS lines at the end.
    """
    lines: list[bytes] = []
    placed: set[bytes] = set()
    for line in _lines(text):
        key = key_of(line)
        if key is None or key not in wanted:
            lines.append(line)
        elif key not in placed:
            placed.add(key)
            lines.append(wanted[key])
    new = [line for key, line in wanted.items() if key not in placed]
    border = next((n for n, line in enumerate(lines) if line.startswith(_NIS)), len(lines))
    lines[border:border] = [line for line in new if not line.startswith(_NIS)]
    lines += [line for line in new if line.startswith(_NIS)]
    return b"".join(line + b"\n" for line in lines)


def former_of(text: bytes, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """What stands under each of the names, if anything does: its lines, joined by a newline."""
    asked = frozenset(keys)
    found: dict[bytes, list[bytes]] = {}
    for line in _lines(text):
        key = key_of(line)
        if key is not None and key in asked:
            found.setdefault(key, []).append(line)
    return {key: b"\n".join(lines) for key, lines in found.items()}


def take_out(text: bytes, entries: Iterable[Entry]) -> tuple[bytes, Sequence[Entry]]:
    """Put back what stood in the place of entries, or nothing; all other lines stay, byte for byte.

    Returns:
        The text, and the entries that do not stand there as they were merged: they are left to whoever changed them.
    """
    going = {entry.text: entry for entry in entries}
    kept: list[bytes] = []
    for line in _with_ends(text):
        entry = going.pop(line.removesuffix(b"\n"), None)
        if entry is None:
            kept.append(line)
        elif entry.former is not None:
            kept.append(entry.former + line[len(entry.text) :])
    return b"".join(kept), list(going.values())


def _name(entry: Entry) -> bytes:
    key = key_of(entry.text)
    assert key is not None, "what is no entry is never merged"
    return key


def _lines(text: bytes) -> list[bytes]:
    return [line.removesuffix(b"\n") for line in _with_ends(text)]


def _with_ends(text: bytes) -> list[bytes]:
    *whole, last = text.split(b"\n")
    return [*(line + b"\n" for line in whole), *([last] if last else [])]
