"""Mode and owner of what COPY places: the source's, changed by rsync's options, or as an annotation declares them."""

import grp
import os
import pwd
import stat
from dataclasses import dataclass, replace

from nodeagent.apply.chmod import changed
from nodeagent.apply.paths import Directory
from nodeagent.apply.rsync import CopyOptions
from nodeagent.model.destinations import Content

_LINK_MODE = 0o777


class UnknownOwnerError(Exception):
    """There is no such user or group on this node; ``str(error)`` says which, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What ``# nodeagent: mode=... owner=...`` says of a COPY; None where it says nothing.

    ``mode`` (permission bits, 0..0o7777) is for regular files alone: no mode fits both a key and the directory that it
    stands in. The owner is for all that is placed, but not for a directory that stands already.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def declared(*, mode: int | None, user: str, group: str) -> Declared:
    """Look up an annotation's names (or numbers; empty: not said).

    Raises:
        UnknownOwnerError: the node has no such user or group.
    """
    return Declared(mode=mode, uid=user_id(user) if user else None, gid=group_id(group) if group else None)


def user_id(name: str) -> int:
    """The number of a user, given by name or number.

    Raises:
        UnknownOwnerError: the node has no such user.
    """
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UnknownOwnerError(f"there is no user {name} on this node: create it in a line above") from None


def group_id(name: str) -> int:
    """The number of a group, given by name or number.

    Raises:
        UnknownOwnerError: the node has no such group.
    """
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UnknownOwnerError(f"there is no group {name} on this node: create it in a line above") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What one COPY gives. ``uid`` and ``gid`` are what ``--chown`` names, None where it does not."""

    options: CopyOptions
    umask: int
    declared: Declared
    uid: int | None = None
    gid: int | None = None

    def wanted(self, source: os.stat_result, digest: str, *, at: Directory) -> Content:
        """What is asked for, from the source and the directory in which it will stand: the same question next time."""
        kind = stat.S_IFMT(source.st_mode)
        uid = (self.uid if self.uid is not None else source.st_uid) if self.options.owner else os.geteuid()
        gid = (self.gid if self.gid is not None else source.st_gid) if self.options.group else at.new_gid
        return Content(
            kind=kind,
            digest=digest,
            mode=self._mode(source, kind, at),
            uid=uid if self.declared.uid is None else self.declared.uid,
            gid=gid if self.declared.gid is None else self.declared.gid,
        )

    def final(self, wanted: Content, left: Content | None, there: os.stat_result | None, *, same: bool) -> Content:
        """The mode and owner to give: as last left, else as wanted, else (where rsync keeps them) as they are.

        Args:
            wanted: From :meth:`wanted`.
            left: How the last evaluation left it, if it wanted the same.
            there: What stands there, or None.
            same: Whether what stands there has the wanted content.
        """
        if left is not None and left.kind == wanted.kind:
            return replace(wanted, mode=left.mode, uid=left.uid, gid=left.gid)
        if there is None or stat.S_IFMT(there.st_mode) != wanted.kind:
            return wanted
        keeps_uid = same and not self.options.owner and self.declared.uid is None
        keeps_gid = same and not self.options.group and self.declared.gid is None
        return replace(
            wanted,
            mode=wanted.mode if self.decides_mode(wanted.kind) else stat.S_IMODE(there.st_mode),
            uid=there.st_uid if keeps_uid else wanted.uid,
            gid=there.st_gid if keeps_gid else wanted.gid,
        )

    def decides_mode(self, kind: int) -> bool:
        """Whether something of this kind (``S_IFMT``) that exists gets the wanted mode."""
        return self.options.perms or (kind == stat.S_IFREG and self.declared.mode is not None)

    def names_directories(self) -> bool:
        """Whether the options say expressly what the mode of a directory is to be, also of one that exists."""
        return self.options.perms and any(not change.files for change in self.options.chmod)

    def _mode(self, source: os.stat_result, kind: int, at: Directory) -> int:
        if kind == stat.S_IFLNK:
            return _LINK_MODE
        if kind == stat.S_IFREG and self.declared.mode is not None:
            return self.declared.mode
        mode = stat.S_IMODE(changed(source.st_mode, self.options.chmod, umask=self.umask))
        return mode if self.options.perms else mode & at.new_bits(self.umask)
