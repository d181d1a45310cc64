"""MERGE: what the function MERGE of docs/spec.md leaves behind, without what it would lose.

Only entries are the agent's, by name; every other line of the file is left alone. What stood in an entry's place is
remembered, and comes back when the merge file has no such entry any more.
"""

import errno
import os
import stat
from collections.abc import Sequence, Set
from hashlib import sha256

from nodeagent.apply import entries, rewrite
from nodeagent.apply.atomic import AtomicFile
from nodeagent.apply.entries import Wanted
from nodeagent.apply.paths import Place, locate
from nodeagent.apply.user_lock import locked
from nodeagent.model.destinations import MERGED, Content, Destinations, Entry
from nodeagent.model.evaluation import Change, FileChange, Phase

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Merges:
    """The MERGEs of one evaluation. ``statements`` are the keys of all statements of the program."""

    def __init__(self, *, statements: Set[str]) -> None:
        self.statements = statements
        self._wanted: dict[str, list[Wanted]] = {}

    def want(self, path: str, wanted: Wanted) -> None:
        self._wanted.setdefault(path, []).append(wanted)

    def wanted(self, path: str) -> Sequence[Wanted]:
        """What each of them wanted of a destination so far."""
        return self._wanted.get(path, [])


def is_plain(source: str, destination: str, *, cwd: str) -> bool:
    """Whether it is known what the function does with these operands; else the shell does it.

    awk takes ``NAME=VALUE`` for an assignment and ``-`` for its standard input, and cp follows a link.
    """
    if source == destination or any(name.startswith("-") or not name for name in (source, destination)):
        return False
    if any(name.partition("=")[1] and name.partition("=")[0].isidentifier() for name in (source, destination)):
        return False
    texts = [_text(os.path.join(cwd, name)) for name in (source, destination)]
    return not os.path.islink(os.path.join(cwd, destination)) and all(t is None or b"\0" not in t for t in texts)


def merge(
    source: str, destination: str, *, cwd: str, statement: str, destinations: Destinations, session: Merges
) -> FileChange:
    """Merge the entries of a file into another.

    Args:
        source: The merge file, as the shell gave it.
        destination: The user database, likewise.
        cwd: The shell's working directory, absolute.
        statement: The statement's key.
        destinations: The ledger.
        session: Of this evaluation.

    Returns:
        What came of it; FAILED, with the reason, where the function returns 1.
    """
    named = os.path.join(cwd, destination)
    try:
        wanted = Wanted(statement=statement, lines=entries.entries_of(_read(os.path.join(cwd, source))))
    except OSError as error:
        return _failed(named, f"cannot read {source}: {error.strerror or error}")
    try:
        resolved = os.path.realpath(named)
        if destinations.left_absent(resolved):
            change = rewrite.leave_absent(resolved, destinations)
            destinations.placed(resolved, Phase.MERGE, _content(wanted), change)
            return FileChange(path=resolved, change=change)
        with locate(destination, cwd=cwd, follow=False) as place, locked(place.directory):
            session.want(place.path, wanted)
            there = rewrite.look_at(place)
            if there is None:
                return _failed(named, "there is no such file to merge into")
            content = _content(wanted)
            change = Change.UNCHANGED
            if not destinations.settled(place.path, content):
                # What a step that is done has made of an entry stays; one that is gone comes back.
                edited = destinations.left(place.path, content) is not None and destinations.edited(place.path)
                change = _merge(place, there, wanted, destinations, session, add_only=edited)
            destinations.placed(place.path, Phase.MERGE, content, change)
            return FileChange(path=place.path, change=change)
    except OSError as error:
        return _failed(named, f"cannot merge into {destination}: {error.strerror or error}")


def take_out(path: str, going: Sequence[Entry]) -> Sequence[Entry]:
    """Take entries out of a file; what stood in their place comes back, and all other lines stay.

    Returns:
        Those that do not stand there as they were merged, which are left.

    Raises:
        OSError: the file is gone, is no regular file, or cannot be written.
    """
    with locate(path, cwd="/", follow=False) as place, locked(place.directory):
        there = rewrite.look_at(place)
        if there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        before = rewrite.read(place, there)
        after, changed = entries.take_out(before, going)
        if after != before:
            _replace(place, there, after)
    return changed


def _merge(
    place: Place, there: os.stat_result, wanted: Wanted, destinations: Destinations, session: Merges, *, add_only: bool
) -> Change:
    before = rewrite.read(place, there)
    decision = entries.decide(
        before,
        destinations.entries(place.path),
        wanted,
        others=session.wanted(place.path),
        live=session.statements,
        add_only=add_only,
    )
    change = Change.UNCHANGED
    if decision.text != before:
        # Noted before the file is written: after a crash, whichever stands there is known as nodeagent's own.
        destinations.merged(place.path, [*decision.entries, *decision.dropped])
        destinations.keep(place.path)
        _replace(place, there, decision.text)
        change = Change.UPDATED
    destinations.merged(place.path, decision.entries)
    return change


def _replace(place: Place, there: os.stat_result, text: bytes) -> None:
    """By rename only: a user database that is half written locks everybody out."""
    with AtomicFile(place.directory.fd, place.name) as file:
        file.write(text)
        file.carry_labels()
        file.commit(mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)


def _content(wanted: Wanted) -> Content:
    """What a MERGE wants, for the ledger's chain: entries, whatever else the file holds."""
    digest = sha256(b"\n".join(wanted.lines.values())).hexdigest()
    return Content(kind=stat.S_IFREG, digest=f"{MERGED}{digest}", mode=0, uid=0, gid=0)


def _read(path: str) -> bytes:
    with open(os.open(path, _READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
        return file.read()


def _text(path: str) -> bytes | None:
    try:
        return _read(path)
    except OSError:
        return None


def _failed(path: str, reason: str) -> FileChange:
    return FileChange(path=path, change=Change.FAILED, reason=reason)
