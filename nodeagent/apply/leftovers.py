"""What a killed agent was about to rename: temporaries of destinations that are in order, or no longer wanted."""

import contextlib
import os
from collections.abc import Iterable

from nodeagent.apply.atomic import discard, discard_left, is_temporary
from nodeagent.apply.paths import locate


def remove(paths: Iterable[str]) -> None:
    """Remove the temporaries in the directories of these destinations (absolute paths).

    Also those of files that the killed agent was the first to place. What cannot be reached is passed over.
    """
    names: dict[str, list[str]] = {}
    for path in paths:
        above, name = os.path.split(path)
        names.setdefault(above, []).append(name)
    for above, known in names.items():
        with contextlib.suppress(OSError), locate(os.path.join(above, known[0]), cwd="/", follow=False) as place:
            for name in known:
                discard_left(place.directory.fd, name)
            for name in filter(is_temporary, place.directory.names()):
                discard(place.directory.fd, name)
