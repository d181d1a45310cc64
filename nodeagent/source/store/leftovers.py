"""What a fetch leaves that was killed in the middle: half a pack under a temporary name, locks of libgit2."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

BESIDE = (".new", ".old")  # behind the store's name: what is about to be, and what was, the store
_LOCK = ".lock"  # what libgit2's names of files that are being written end with

_locks: list[int] = []  # descriptors; they end with the process


def begin_fetching(store: Path) -> None:
    """Tell others that this process fetches into the store, until it ends; remove what was left, if no other one does.

    A killed process leaves no lock of this kind: it is the kernel's, on the directory above the store.

    Raises:
        OSError: that directory cannot be entered, or what is left cannot be removed.
    """
    directory = os.open(store.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _locks.append(directory)
    with contextlib.suppress(BlockingIOError):  # another one is at work, and what is there may be its
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(store)
    fcntl.flock(directory, fcntl.LOCK_SH)


def _remove(store: Path) -> None:
    for end in BESIDE:
        shutil.rmtree(store.with_name(store.name + end), ignore_errors=True)
    if not (store / "objects/pack").is_dir():
        return  # it will be made anew
    for above, _, names in os.walk(store / "refs"):
        _unlink(above, [name for name in names if name.endswith(_LOCK)])
    _unlink(store, [name for name in os.listdir(store) if name.endswith(_LOCK)])
    packs = os.listdir(store / "objects/pack")
    _unlink(store / "objects/pack", [name for name in packs if not _is_of_a_pair(name, packs)])


def _is_of_a_pair(name: str, packs: list[str]) -> bool:
    """Whether it is a pack with an index, or an index with a pack; half a pack has another name (``pack_git2_*``)."""
    stem, end = os.path.splitext(name)
    return (end == ".pack" and f"{stem}.idx" in packs) or (end == ".idx" and f"{stem}.pack" in packs)


def _unlink(above: str | Path, names: list[str]) -> None:
    for name in names:
        os.unlink(f"{above}/{name}")
