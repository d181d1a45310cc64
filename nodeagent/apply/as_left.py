"""Putting back a destination that a later step had edited: that step is done, so what it made is to stand there."""

import os
import stat

from nodeagent.apply import atomic, rewrite
from nodeagent.apply.paths import Place
from nodeagent.model.destinations import Content, Destinations
from nodeagent.model.evaluation import Change


def put_back(place: Place, left: Content, destinations: Destinations) -> Change:
    """Make a destination what the last evaluation left: content, mode and owner.

    Raises:
        OSError: it could not be made so, or what a step had made of it was too large to be kept; what stands there is
            unchanged.
    """
    there = place.directory.lstat(place.name)
    change = Change.CREATED if there is None else Change.UPDATED
    if stat.S_ISLNK(left.kind):
        destinations.keep(place.path)
        atomic.place_link(place.directory.fd, place.name, left.digest, uid=left.uid, gid=left.gid)
        return change
    copy = destinations.copy_of(left)
    if copy is None:
        raise OSError(
            "a later step edited it, and what it made of it was not kept (larger than ledger.keep_bytes?):"
            " nodeagent apply --force makes it anew"
        )
    data = copy.read_bytes()
    if there is None or not stat.S_ISREG(there.st_mode) or not _is_alone(place, there):
        destinations.keep(place.path)
        rewrite.create(place, data, left)
    elif there.st_size != len(data) or rewrite.read(place, there) != data:
        destinations.keep(place.path)
        rewrite.replace(place, there, data, left)
    elif (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) != (left.mode, left.uid, left.gid):
        destinations.keep(place.path)
        rewrite.set_attributes(place, there, left)
    else:
        return Change.UNCHANGED
    return change


def _is_alone(place: Place, there: os.stat_result) -> bool:
    """Whether a file may be written to: no other than root can have given it a second name."""
    return there.st_nlink == 1 or place.directory.vouches_for(there)
