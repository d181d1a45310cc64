"""What git would obey of what stands in the store: held to one fixed text.

The fetch user can write all of it. Without this, a worker that was taken over once could have every later one ask
another server (``url.*.insteadOf``), follow redirects, or read another repository's objects.
"""

import contextlib
import os
import shutil
import stat
from pathlib import Path

# The form is git-config(1)'s. Another host would be told who comes, and could be any: of this host, libgit2 follows a
# redirect to another path all the same.
_CONFIG = b"""\
[core]
\tbare = true
\trepositoryformatversion = 0
\tfilemode = true
[http]
\tfollowRedirects = false
"""
# gitrepository-layout(5): more settings, and other places of settings, refs and objects; programs.
_REMOVED = ("config.worktree", "commondir", "objects/info/alternates", "hooks")


def fix(store: Path) -> None:
    """Let no settings of git's stand in the store but ours; cheap when they do not. Before libgit2 opens it.

    Raises:
        OSError: there is no such store, or what stands there cannot be replaced.
    """
    for name in _REMOVED:
        _remove(store / name)
    config = store / "config"
    if _holds(config):
        return
    temporary = store / f"config.{os.getpid()}.lock"  # left by one that is killed, it goes with the other locks
    temporary.write_bytes(_CONFIG)
    if config.is_dir() and not config.is_symlink():
        _remove(config)
    temporary.rename(config)


def _holds(config: Path) -> bool:
    try:
        descriptor = os.open(config, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a fifo would wait
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(_CONFIG) + 1) == _CONFIG
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
