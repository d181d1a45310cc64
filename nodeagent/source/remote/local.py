"""A repository that the node itself can read: on a disk, or on a file system of the network."""

import os
import stat
from typing import NoReturn

from nodeagent.errors import InvalidConfiguration, RepositoryNotFound
from nodeagent.model.address import Local
from nodeagent.source.libgit2 import pygit2
from nodeagent.source.remote import asked


class Callbacks(asked.Callbacks):
    def __init__(self, place: Local) -> None:
        super().__init__()
        self._place = place

    def prepare(self, repository: pygit2.Repository) -> None:
        demand_readable(self._place)
        # It may be anybody's: libgit2 runs nothing that its configuration names, and this process is nobody.
        pygit2.settings.owner_validation = False

    def refused(self, text: str = "") -> NoReturn:
        raise AssertionError("nobody is asked who he is")


def demand_readable(place: Local) -> None:
    """Raise unless this process can read the repository, or the bundle, and it looks like one.

    Raises:
        RepositoryNotFound: it is not there, or it is not for this user.
        InvalidConfiguration: everybody may write it.
    """
    try:
        found = os.stat(place.path)
    except PermissionError as error:
        raise _closed(place) from error
    except OSError as error:
        raise RepositoryNotFound(
            f"{place}: {error.strerror}: correct source.url, or mount what holds the repository before nodeagent starts"
        ) from error
    if found.st_mode & stat.S_IWOTH:
        raise InvalidConfiguration(
            f"{place}: every user of this node may write there, and root runs what he writes: chmod o-w {place}"
        )
    is_directory = stat.S_ISDIR(found.st_mode)
    if not os.access(place.path, os.R_OK | (os.X_OK if is_directory else 0)):
        raise _closed(place)
    if is_directory and not any(os.path.exists(place.path / name) for name in ("objects", ".git")):
        raise RepositoryNotFound(f"{place}: is no git repository: correct source.url")


def _closed(place: Local) -> RepositoryNotFound:
    user = os.environ.get("USER", "of the fetch")
    return RepositoryNotFound(
        f"{place}: user {user} may not read it, and the repository is never read as root: let that user enter the "
        f"directories above it, and read all of it (setfacl -R -m u:{user}:rX {place})"
    )
