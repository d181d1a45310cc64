"""WRITE: what ``>FILE`` leaves behind, without the moment in which the file is empty.

A link is followed, as the shell does, but only where root alone decides what stands there; what exists keeps its mode
and owner; a new file gets 0666 less the umask.
"""

import dataclasses
import os
import stat

from nodeagent.apply import rewrite
from nodeagent.apply.as_left import put_back
from nodeagent.apply.paths import Place, locate
from nodeagent.model.destinations import Content, Destinations
from nodeagent.model.evaluation import Change, FileChange, Phase


def write(path: str, *, cwd: str, text: bytes, umask: int, destinations: Destinations) -> FileChange:
    """Make the text the whole content of a file.

    Args:
        path: As the shell gave it.
        cwd: The shell's working directory, absolute.
        text: What the statement wrote.
        umask: The shell's.
        destinations: The ledger.

    Returns:
        What came of it; FAILED, with the reason, where a redirection fails too (the shell's status for that is 1 in
        bash and 2 in dash), and where following the path is not safe.
    """
    resolved = os.path.realpath(os.path.join(cwd, path))
    try:
        if destinations.left_absent(resolved):
            change = rewrite.leave_absent(resolved, destinations)
            destinations.placed(resolved, Phase.WRITE, rewrite.of_text(text, umask, os.getegid()), change)
            return FileChange(path=resolved, change=change)
        with locate(path, cwd=cwd, follow=True) as place:
            wanted = rewrite.as_created(place, text, umask)
            change = _write(place, text, wanted, destinations)
            destinations.placed(place.path, Phase.WRITE, wanted, change)
            return FileChange(path=place.path, change=change)
    except OSError as error:
        named = os.path.join(cwd, path)
        return FileChange(path=named, change=Change.FAILED, reason=f"cannot create {path}: {error.strerror or error}")


def _write(place: Place, text: bytes, wanted: Content, destinations: Destinations) -> Change:
    there = rewrite.look_at(place)
    if there is not None and destinations.settled(place.path, wanted):
        return Change.UNCHANGED
    left = destinations.left(place.path, wanted)
    if left is not None and destinations.edited(place.path):
        return put_back(place, left, destinations)
    final = wanted
    if left is not None and left.kind == stat.S_IFREG:
        final = dataclasses.replace(wanted, mode=left.mode, uid=left.uid, gid=left.gid)
    elif there is not None:
        final = dataclasses.replace(wanted, mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)
    if there is None:
        destinations.keep(place.path)
        rewrite.create(place, text, final)
        return Change.CREATED
    if there.st_size != len(text) or rewrite.read(place, there) != text:
        destinations.keep(place.path)
        rewrite.replace(place, there, text, final)
        return Change.UPDATED
    if (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == (final.mode, final.uid, final.gid):
        return Change.UNCHANGED
    destinations.keep(place.path)
    rewrite.set_attributes(place, there, final)
    return Change.UPDATED
