"""A file that ``git bundle create`` made, followed like a server: versions 2 and 3 of git's ``gitformat-bundle``.

libgit2 knows no bundles. The header is read here; the pack behind it goes the way of a fetched one.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from nodeagent.errors import (
    ReferenceNotFound,
    RemoteUnreachable,
    RepositoryDamaged,
    RepositoryNotFound,
    RevisionRejected,
    StoreUnusable,
)
from nodeagent.model.address import Local
from nodeagent.source.foreign import one_line
from nodeagent.source.libgit2 import pygit2
from nodeagent.source.remote import local, packs, refs, translate
from nodeagent.source.remote.refs import ASIDE, FETCHED, Target

_SIGNATURES = {b"# v2 git bundle\n": 2, b"# v3 git bundle\n": 3}
_LINE = re.compile(rb"(?P<prerequisite>-)?(?P<oid>[0-9a-f]{40})(?: (?P<rest>[^\n]*))?\n")
_LONGEST_LINE = 65_536  # bytes
_LONGEST_HEADER = 32 * 2**20  # bytes: half a million refs; in memory it is several times as large


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """``heads`` are ids in hex by the refs' full names; ``prerequisites`` commits on which the pack builds."""

    heads: Mapping[str, str]
    prerequisites: frozenset[str]


def is_one(place: Local) -> bool:
    """Whether it is a file: whether that is a bundle shows when it is read."""
    return os.path.isfile(place.path)


def read_header(file: BinaryIO) -> Header:
    """Read up to the pack.

    Raises:
        ValueError: it is no bundle, or one that git itself could not use here; the reason.
    """
    version = _SIGNATURES.get(file.readline(_LONGEST_LINE))
    if version is None:
        raise ValueError("is no bundle of git, version 2 or 3")
    heads: dict[str, str] = {}
    prerequisites = set()
    for line in _lines(file):
        if version == 3 and line.startswith(b"@"):
            _demand_known(line)
            continue
        found = _LINE.fullmatch(line)
        if found is None or (found["rest"] is None and not found["prerequisite"]):
            raise ValueError(f"is damaged: its header has the line {one_line(line.rstrip())[:100]}")
        if found["prerequisite"]:
            prerequisites.add(found["oid"].decode())
        else:
            heads[found["rest"].decode(errors="surrogateescape")] = found["oid"].decode()
    return Header(heads=heads, prerequisites=frozenset(prerequisites))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    left = _LONGEST_HEADER
    while left > 0:
        line = file.readline(_LONGEST_LINE)
        left -= len(line)
        if line == b"\n":
            return
        if not line.endswith(b"\n"):
            raise ValueError("is damaged: its header does not end")
        yield line
    raise ValueError(f"has a header of more than {_LONGEST_HEADER} bytes")


def _demand_known(line: bytes) -> None:
    """Take the capabilities that are understood (git demands that unknown ones are refused)."""
    if line == b"@object-format=sha1\n":
        return
    if line.startswith(b"@object-format="):
        raise ValueError("has another object format than SHA-1")
    if line.startswith(b"@filter="):
        raise ValueError("is a partial one (made with --filter): make it with all objects")
    raise ValueError(f"wants a capability that is not known here: {one_line(line.rstrip())[:100]}")


class Bundle:
    """A bundle, with the verbs of a server."""

    def __init__(self, repository: pygit2.Repository, url: str, place: Local) -> None:
        self._repository = repository
        self._url = url
        self._place = place

    def find(self, ref: str) -> Target:
        """Find a branch, a tag or a full commit id in the header. An annotated tag has to be fetched to be looked at.

        Raises:
            RepositoryNotFound, RepositoryDamaged, ReferenceNotFound, StoreUnusable
        """
        with self._opened() as file:
            heads = self._header(file).heads
        target = refs.find(self._url, heads, ref)
        if not target.name or target.name.startswith("refs/heads/"):
            return target
        if target.commit not in self._repository:
            self._unpack(target)
        found = self._repository.get(target.commit)
        if not isinstance(found, pygit2.Tag):
            return target
        try:
            commit = str(found.peel(pygit2.Commit).id)
        except (pygit2.GitError, ValueError, KeyError):
            commit = str(found.target)  # what it is, fetch() says
        return Target(shown=target.shown, name=target.name, commit=commit, tag=target.commit)

    def fetch(self, target: Target, *, whole: bool, aside: bool = False) -> None:
        """Take all that the bundle holds into the repository; ``whole`` or not, it cannot be left out.

        Raises:
            RemoteUnreachable: the file was exchanged meanwhile.
            RepositoryDamaged, StoreUnusable, ReferenceNotFound: as of a server's.
        """
        if target.commit not in self._repository:
            self._unpack(target)
        found: object = self._repository.get(target.commit)
        if not isinstance(found, pygit2.Commit):
            reason = "no branch and no tag leads to it" if found is None else "it is no commit"
            raise ReferenceNotFound(f"{self._url}: {one_line(target.shown)}: {reason}: put it into the bundle")
        aside = aside or not target.name
        name = f"{ASIDE}/{target.name.removeprefix('refs/') or 'commit'}" if aside else FETCHED
        self._repository.references.create(name, found.id, force=True)

    def _unpack(self, target: Target) -> None:
        with self._opened() as file:
            header = self._header(file)
            if target.name and header.heads.get(target.name) not in (target.commit, target.tag):
                raise RemoteUnreachable(f"{self._url}: {one_line(target.shown)} was moved while it was read: once more")
            missing = sorted(oid for oid in header.prerequisites if oid not in self._repository)
            if missing:
                raise ReferenceNotFound(
                    f"{self._url}: the bundle builds on the commit {missing[0]}, which this node does not have: make "
                    "it with the whole history (git bundle create FILE BRANCH)"
                )
            try:
                packs.write(self._repository, file)
            except pygit2.GitError as error:
                self._refuse(error)

    def _refuse(self, error: pygit2.GitError) -> NoReturn:
        found = translate.failure(error, translate.Stage.FILLING)
        if found.error in (StoreUnusable, RevisionRejected):
            raise found.error(f"{self._url}: {found.text}") from error
        raise RepositoryDamaged(
            f"{self._url}: the bundle is damaged or not yet whole: {one_line(str(error).strip())}: write it under "
            "another name beside it, check it with git bundle verify, and rename it"
        ) from error

    def _opened(self) -> BinaryIO:
        local.demand_readable(self._place)
        return open(self._place.path, "rb")

    def _header(self, file: BinaryIO) -> Header:
        try:
            return read_header(file)
        except ValueError as error:
            raise RepositoryNotFound(f"{self._url}: {error}: correct source.url, or make the file anew") from error
