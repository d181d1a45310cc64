"""What a killed agent was about to rename: a temporary beside a destination, which is in order and not placed again."""

import contextlib
from collections.abc import Iterable

from nodeagent.apply.atomic import discard_left
from nodeagent.apply.paths import locate


def remove(paths: Iterable[str]) -> None:
    """Remove the temporaries beside these destinations (absolute paths); what cannot be reached is passed over."""
    for path in paths:
        with contextlib.suppress(OSError), locate(path, cwd="/", follow=False) as place:
            discard_left(place.directory.fd, place.name)
