"""What a killed agent was about to rename."""

import errno
from collections.abc import Iterable

from nodeagent.apply.atomic import discard, is_temporary
from nodeagent.apply.paths import open_directory


def remove(directories: Iterable[str]) -> list[str]:
    """Remove the temporaries in directories (absolute paths).

    Returns:
        The directories in which there are none now, also those that are gone.
    """
    return [directory for directory in directories if _clear(directory)]


def _clear(directory: str) -> bool:
    try:
        with open_directory(directory, cwd="/") as at:
            for name in filter(is_temporary, at.names()):
                discard(at.fd, name)
            return not any(map(is_temporary, at.names()))
    except OSError as error:
        return error.errno in {errno.ENOENT, errno.ENOTDIR}
