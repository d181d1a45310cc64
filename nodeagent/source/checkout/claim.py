"""Whose the directory of the checkout is: nodeagent's own, free to be taken, a clone from before, or somebody's."""

import os
import stat
from pathlib import Path

from nodeagent.errors import InvalidConfiguration
from nodeagent.source.checkout import record

_MOST_SET_ASIDE = 9


def claim(path: Path, *, ours: bool) -> None:
    """Make the checkout's directory, or make sure that it may be emptied: it is ours, or empty.

    What somebody else put there is set aside if it looks like a clone of the repository (it has a post.sh).

    Raises:
        InvalidConfiguration: the path is in use for something else.
        OSError: it cannot be made.
    """
    found = record.identity(str(path))
    if found is not None and not (stat.S_ISDIR(found[0]) and (ours or not any(path.iterdir()))):
        _set_aside(path)
        found = None
    if found is None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    own(path, 0o700)


def own(path: str | Path, mode: int) -> None:
    """Give a file or directory (no link) its mode, and make it this process's own."""
    os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    os.chmod(path, mode)


def _set_aside(path: Path) -> None:
    """Move a clone away that was made before nodeagent came; refuse to touch anything else."""
    if not (path / "post.sh").is_file():
        raise InvalidConfiguration(
            f"source.checkout: {path} is in use and was not made by nodeagent, which would empty it: "
            "move it away, or set source.checkout to a directory that is not there yet"
        )
    names = [f"{path.name}.before-nodeagent{n or ''}" for n in range(_MOST_SET_ASIDE)]
    free = next((name for name in names if not os.path.lexists(path.with_name(name))), None)
    try:
        if free is None:
            raise FileExistsError(names[0])
        path.rename(path.with_name(free))
    except OSError as error:
        raise InvalidConfiguration(
            f"source.checkout: {path} was not made by nodeagent and cannot be set aside: {error}: move it away"
        ) from error
