"""Taking back what a verb has done: the old content put back, a file or directory removed, appended text cut out."""

import errno
import os
import stat
from collections.abc import Sequence, Set
from pathlib import Path

from nodeagent.apply import atomic, entries, rewrite
from nodeagent.apply.paths import Place, locate
from nodeagent.apply.standing import find_blocks
from nodeagent.model.destinations import Block, Content, Entry

_CHUNK = 1 << 20


def remove(path: str) -> bool:
    """Remove a file, a link or an empty directory.

    Returns:
        Whether it is gone; false: it is a directory that is not empty.

    Raises:
        OSError: it cannot be removed.
    """
    with locate(path, cwd="/", follow=False) as place:
        there = place.directory.lstat(place.name)
        if there is None:
            return True
        try:
            if stat.S_ISDIR(there.st_mode):
                os.rmdir(place.name, dir_fd=place.directory.fd)
            else:
                os.unlink(place.name, dir_fd=place.directory.fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
    return True


def restore(path: str, content: Content, copy: Path | None) -> None:
    """Put back what stood at a path, in place of what stands there now.

    Args:
        path: Absolute.
        content: A file, a link or a directory.
        copy: A file's content.

    Raises:
        OSError: it cannot be put back; what stands there is as it was.
    """
    with locate(path, cwd="/", follow=False) as place:
        there = place.directory.lstat(place.name)
        if stat.S_ISDIR(content.kind):
            _restore_directory(place, there, content)
            return
        if there is not None and stat.S_ISDIR(there.st_mode):
            os.rmdir(place.name, dir_fd=place.directory.fd)
            there = None
        if stat.S_ISLNK(content.kind):
            at, name = place.directory.fd, place.name
            atomic.place_link(at, name, content.digest, uid=content.uid, gid=content.gid)
        else:
            assert copy is not None, "only what was kept can be put back"
            _restore_file(place, there, content, copy)


def take_out(path: str, blocks: Sequence[Block], mine: Set[int], *, may_remove: bool) -> Sequence[Block]:
    """Cut blocks out of a file; all other text stays.

    Args:
        path: Absolute.
        blocks: All that were appended or adopted, in the order of the file.
        mine: The positions in ``blocks`` of those that go.
        may_remove: A file of which nothing is left goes too.

    Returns:
        The blocks that were to go and do not stand there any more, as they were appended.

    Raises:
        OSError: the file is gone, is no regular file, or cannot be written.
    """
    with locate(path, cwd="/", follow=False) as place:
        there = rewrite.look_at(place)
        if there is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        before = rewrite.read(place, there)
        spans = find_blocks(before, blocks)
        after = bytearray(before)
        for span in sorted((span for n, span in enumerate(spans) if n in mine and span), reverse=True):
            del after[slice(*span)]
        if not after and may_remove:
            os.unlink(place.name, dir_fd=place.directory.fd)
        elif after != before:
            rewrite.replace(place, there, bytes(after), _attributes(there))
        return [block for n, block in enumerate(blocks) if n in mine and spans[n] is None]


def rest_of(content: bytes, blocks: Sequence[Block], merged: Sequence[Entry]) -> bytes | None:
    """What others have written of a file's content: without what was appended and merged.

    None: nothing of the blocks (adopted ones too) and entries stands there.
    """
    spans = find_blocks(content, blocks)
    rest = bytearray(content)
    for span in sorted((s for s, b in zip(spans, blocks, strict=True) if s and not b.adopted), reverse=True):
        del rest[slice(*span)]
    text, others = entries.take_out(bytes(rest), merged)
    return text if any(spans) or len(others) < len(merged) else None


def _restore_file(place: Place, there: os.stat_result | None, content: Content, copy: Path) -> None:
    with open(copy, "rb") as kept, atomic.AtomicFile(place.directory.fd, place.name) as file:
        while chunk := kept.read(_CHUNK):
            file.write(chunk)
        if there is not None and stat.S_ISREG(there.st_mode):
            file.carry_labels()
        file.commit(mode=content.mode, uid=content.uid, gid=content.gid)


def _restore_directory(place: Place, there: os.stat_result | None, content: Content) -> None:
    if there is not None and stat.S_ISDIR(there.st_mode):
        return
    at, name = place.directory.fd, place.name
    atomic.place_directory(at, name, mode=content.mode, uid=content.uid, gid=content.gid, replace=there is not None)


def _attributes(there: os.stat_result) -> Content:
    return Content(kind=stat.S_IFREG, digest="", mode=stat.S_IMODE(there.st_mode), uid=there.st_uid, gid=there.st_gid)
