"""Making one destination what a source says, unless it is so already or the last evaluation left it otherwise.

The rule for each (design section 4, *A file as the evaluation left it*): what the ledger calls settled is not touched;
what the last evaluation left with another mode or owner gets that one again; what has the right content, mode and owner
is unchanged; anything else is kept by the ledger and then replaced.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

from nodeagent.apply import atomic, label
from nodeagent.apply.as_left import put_back
from nodeagent.apply.attributes import Attributes
from nodeagent.apply.batch import Staged
from nodeagent.apply.incoming import Incoming
from nodeagent.apply.paths import Directory, Place
from nodeagent.apply.rsync import CopyOptions
from nodeagent.apply.tree import Source
from nodeagent.apply.way import Way
from nodeagent.model.destinations import Content, Destinations
from nodeagent.model.evaluation import Change, FileChange, Phase

_PEEK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LeftAbsentError(Exception):
    """A later step removed the directory the last time: neither it nor what would be in it is put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placer:
    """Places what COPY copies, one destination a call, and reports each.

    ``shown`` is a destination's path below the top of the copy, as ``--exclude`` sees it.

    All but :meth:`file` have done so when they return. Each raises OSError when the destination could not be made; then
    nothing was reported and what stood there stands unchanged (a directory that had to make way for a file is the one
    thing that cannot be put back at once).
    """

    options: CopyOptions
    attributes: Attributes
    destinations: Destinations
    report: Callable[[FileChange], None]
    way: Way

    def file(self, at: Directory, name: str, source: Source, *, shown: str) -> Staged | None:
        """Place a regular file.

        Returns:
            The file, when its content still has to be made to last before it is put in its place: then it was not
            reported yet, and ``at`` must stay open until that is done.
        """
        path = at.child(name)
        there = at.lstat(name)
        with Incoming(source.name, dir_fd=source.dir_fd) as incoming:
            if self.destinations.left_absent(path):
                self._leave_absent(at, name, there, self._wanted(at, incoming.stat, incoming.digest))
                return None
            if there is None and not self.destinations.edited(path):
                return self._stage(at, name, incoming, there=None, same=False, shown=shown)
            wanted = self._wanted(at, incoming.stat, incoming.digest)
            brought = self._bring(at, name, incoming, there, wanted, shown=shown)
            if isinstance(brought, Staged):
                return brought
            self._done(path, wanted, brought, read=incoming.fingerprint)
        return None

    def link(self, at: Directory, name: str, source: Source, *, shown: str) -> None:
        """Place a symbolic link."""
        path = at.child(name)
        target = os.readlink(source.name, dir_fd=source.dir_fd)
        wanted = self._wanted(at, source.stat, target)
        there = at.lstat(name)
        if self.destinations.left_absent(path):
            return self._leave_absent(at, name, there, wanted)
        if there is not None and self.destinations.settled(path, wanted):
            return self._done(path, wanted, Change.UNCHANGED)
        left = self.destinations.left(path, wanted)
        if left is not None and self.destinations.edited(path):
            return self._done(path, wanted, self._put_back(at, name, there, left, shown=shown))
        same = there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=at.fd) == target
        final = self.attributes.final(wanted, left, there, same=same)
        if there is not None and same:
            if (there.st_uid, there.st_gid) == (final.uid, final.gid):
                return self._done(path, wanted, Change.UNCHANGED)
            self.destinations.keep(path)
            os.chown(name, final.uid, final.gid, dir_fd=at.fd, follow_symlinks=False)
            return self._done(path, wanted, Change.UPDATED)
        self.way.check(at, name, there)
        self.way.make(at, name, there, shown=shown)
        self.destinations.staging(at.path)
        with label.from_policy(path, stat.S_IFLNK):
            atomic.place_link(at.fd, name, target, uid=final.uid, gid=final.gid, mtime_ns=self._mtime(source.stat))
        return self._done(path, wanted, Change.CREATED if there is None else Change.UPDATED)

    def node(self, at: Directory, name: str, source: Source, *, shown: str) -> None:
        """Place a fifo, a socket or a device. The ledger does not know these: they are compared by their lstat."""
        path = at.child(name)
        wanted = self._wanted(at, source.stat, "")
        there = at.lstat(name)
        same = there is not None and stat.S_IFMT(there.st_mode) == wanted.kind and there.st_rdev == source.stat.st_rdev
        final = self.attributes.final(wanted, None, there, same=same)
        if there is not None and not stat.S_ISDIR(there.st_mode) and not self.options.perms:
            final = replace(final, mode=stat.S_IMODE(there.st_mode))  # here rsync does not look at the kind
        if there is not None and same and _attributes(there) == (final.mode, final.uid, final.gid):
            return self.report(FileChange(path=path, change=Change.UNCHANGED))
        self.way.check(at, name, there)
        self.way.make(at, name, there, shown=shown)
        self.destinations.staging(at.path)
        atomic.place_node(
            at.fd,
            name,
            mode=wanted.kind | final.mode,
            device=source.stat.st_rdev,
            uid=final.uid,
            gid=final.gid,
            mtime_ns=self._mtime(source.stat),
        )
        return self.report(FileChange(path=path, change=Change.CREATED if there is None else Change.UPDATED))

    def directory(self, at: Directory, name: str, source: os.stat_result) -> tuple[Directory, bool]:
        """Make sure of a directory; one that exists keeps its mode and owner.

        Returns:
            The directory, open, and whether it was made just now.

        Raises:
            LeftAbsentError: it is not there, and is not to be.
        """
        path = at.child(name)
        wanted = self._wanted(at, source, "")
        there = at.lstat(name)
        self._check_absent(path, there, wanted)
        made = there is None or not stat.S_ISDIR(there.st_mode)
        change = Change.UNCHANGED
        if made:
            final = self.attributes.final(wanted, self.destinations.left(path, wanted), None, same=False)
            if there is not None:
                self.destinations.keep(path)
            self.destinations.staging(at.path)
            with label.from_policy(path, stat.S_IFDIR):
                atomic.place_directory(
                    at.fd,
                    name,
                    mode=final.mode,
                    uid=final.uid,
                    gid=final.gid,
                    inherit=not self.options.perms,
                    replace=there is not None,
                )
            change = Change.CREATED if there is None else Change.UPDATED
        below = at.enter(name)
        if made:
            self._done(path, wanted, change)
        else:
            self._directory_stands(below, wanted)
        return below, made

    def directory_stands(self, at: Directory, source: os.stat_result) -> None:
        """See to a directory that the source has and that stands already."""
        self._directory_stands(at, self._wanted(at, source, ""))

    def _directory_stands(self, at: Directory, wanted: Content) -> None:
        """It keeps its mode, unless ``--chmod=D...`` says expressly what directories are to have."""
        left = self.destinations.left(at.path, wanted)
        mode = wanted.mode if left is None else left.mode
        change = Change.UNCHANGED
        if self.attributes.names_directories() and stat.S_IMODE(at.mode) != mode:
            self.destinations.keep(at.path)
            at.change_mode(mode)
            change = Change.UPDATED
        self._done(at.path, wanted, change)

    def plain_directory(self, at: Directory, name: str) -> None:
        """Make a directory as ``mkdir`` does, for want of one to put things into.

        Raises:
            LeftAbsentError: it is not to be there.
        """
        mode, uid = at.new_bits(self.attributes.umask), os.geteuid()
        wanted = Content(kind=stat.S_IFDIR, digest="", mode=mode, uid=uid, gid=at.new_gid)
        self._check_absent(at.child(name), at.lstat(name), wanted)
        self.destinations.staging(at.path)
        with label.from_policy(at.child(name), stat.S_IFDIR):
            atomic.place_directory(at.fd, name, mode=wanted.mode, uid=wanted.uid, gid=wanted.gid, inherit=True)
        self._done(at.child(name), wanted, Change.CREATED)

    def _check_absent(self, path: str, there: os.stat_result | None, wanted: Content) -> None:
        if there is None:
            left_alone = self.destinations.left_absent(path)
        else:
            left_alone = not stat.S_ISDIR(there.st_mode) and self.destinations.settled(path, wanted)
        if left_alone:
            self._done(path, wanted, Change.UNCHANGED)
            raise LeftAbsentError

    def _leave_absent(self, at: Directory, name: str, there: os.stat_result | None, wanted: Content) -> None:
        """Remove what has come to stand where a later step of the last evaluation left nothing."""
        removed = there is not None and not stat.S_ISDIR(there.st_mode)
        if removed:
            self.destinations.keep(at.child(name))
            os.unlink(name, dir_fd=at.fd)
        self._done(at.child(name), wanted, Change.PRUNED if removed else Change.UNCHANGED)

    def _bring(
        self, at: Directory, name: str, incoming: Incoming, there: os.stat_result | None, wanted: Content, *, shown: str
    ) -> Change | Staged:
        """Turn what stands there into the file, by its attributes alone when the content is right; or into what a later
        step made of it."""
        path = at.child(name)
        if there is not None and self.destinations.settled(path, wanted):
            return Change.UNCHANGED
        left = self.destinations.left(path, wanted)
        if left is not None and self.destinations.edited(path):
            return self._put_back(at, name, there, left, shown=shown)
        if there is None:
            return self._stage(at, name, incoming, there=None, same=False, shown=shown)
        if not stat.S_ISREG(there.st_mode) or there.st_size != incoming.stat.st_size:
            return self._stage(at, name, incoming, there=there, same=False, shown=shown)
        fd = os.open(name, _PEEK, dir_fd=at.fd)
        try:
            there = os.fstat(fd)
            same = incoming.equals(fd)
            final = self.attributes.final(wanted, left, there, same=same)
            if same and _attributes(there) == (final.mode, final.uid, final.gid):
                return Change.UNCHANGED
            # Several names: who owns the directory may have linked somebody else's file here.
            if same and (there.st_nlink == 1 or at.vouches_for(there)):
                self.destinations.keep(path)
                os.fchown(fd, final.uid, final.gid)
                os.fchmod(fd, final.mode)
                return Change.UPDATED
        finally:
            os.close(fd)
        return self._stage(at, name, incoming, there=there, same=same, shown=shown)

    def _put_back(self, at: Directory, name: str, there: os.stat_result | None, left: Content, *, shown: str) -> Change:
        self.way.check(at, name, there)
        if there is not None and stat.S_ISDIR(there.st_mode):
            self.way.make(at, name, there, shown=shown)
        return put_back(Place(directory=at, name=name), left, self.destinations)

    def _stage(
        self, at: Directory, name: str, incoming: Incoming, *, there: os.stat_result | None, same: bool, shown: str
    ) -> Staged:
        """Make the file, complete, under its temporary name."""
        path = at.child(name)
        self.way.check(at, name, there)
        self.destinations.staging(at.path)
        with contextlib.ExitStack() as on_error:
            with label.from_policy(path, stat.S_IFREG):
                file = on_error.enter_context(atomic.AtomicFile(at.fd, name))
            incoming.pour(file.fd)
            wanted = self._wanted(at, incoming.stat, incoming.digest)
            final = self.attributes.final(wanted, self.destinations.left(path, wanted), there, same=same)
            if there is not None and stat.S_ISREG(there.st_mode):
                file.carry_labels()
            mtime_ns = self._mtime(incoming.stat)
            file.complete(mode=final.mode, uid=final.uid, gid=final.gid, mtime_ns=mtime_ns)
            on_error.pop_all()

        def put() -> None:
            self.way.make(at, name, there, shown=shown)
            file.put()
            change = Change.CREATED if there is None else Change.UPDATED
            self._done(path, wanted, change, read=incoming.fingerprint)

        return Staged(path=path, directory=at.fd, file=file, size=incoming.stat.st_size, put=put)

    def _wanted(self, at: Directory, source: os.stat_result, digest: str) -> Content:
        return self.attributes.wanted(source, digest, at=at)

    def _mtime(self, source: os.stat_result) -> int | None:
        return source.st_mtime_ns if self.options.times else None

    def _done(self, path: str, wanted: Content, change: Change, *, read: bytes = b"") -> None:
        self.destinations.placed(path, Phase.COPY, wanted, change, read=read)
        self.report(FileChange(path=path, change=change))


def _attributes(entry: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(entry.st_mode), entry.st_uid, entry.st_gid
