"""The store of what was fetched: a bare repository of the fetch user's own, that root never opens."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from nodeagent.errors import RevisionRejected, StoreUnusable
from nodeagent.model.address import Local, parse
from nodeagent.source.libgit2 import enums, pygit2
from nodeagent.source.remote import bundle
from nodeagent.source.remote.access import Access
from nodeagent.source.remote.bundle import Bundle
from nodeagent.source.remote.connection import Remote
from nodeagent.source.remote.refs import FETCHED
from nodeagent.source.store import leftovers, objects, settings

_KINDS = {
    enums.ObjectType.COMMIT: objects.Kind.COMMIT,
    enums.ObjectType.TREE: objects.Kind.TREE,
    enums.ObjectType.BLOB: objects.Kind.BLOB,
    enums.ObjectType.TAG: objects.Kind.TAG,
}

_TAGS = "refs/nodeagent/tags/"  # by which annotated tag a ref that is followed stands for its commit
_TOO_LARGE = "an object takes more memory than [limits] allows: shrink it, or raise limits.file_bytes"
_GROWTH = 2  # times the room of a fresh shallow clone
_FRESH = "nodeagent-fresh"  # in the store: bytes that its packs took when it was fresh


def begin_fetching(path: Path) -> None:
    """Do this once in a process that is about to fetch into the store at the path, and does nothing else.

    Raises:
        StoreUnusable: what a killed fetch left there cannot be removed.
    """
    try:
        leftovers.begin_fetching(path)
    except OSError as error:
        raise _unusable(path, error) from error


class Store:
    """What was fetched, at one path."""

    def __init__(self, path: Path, repository: pygit2.Repository) -> None:
        self.path = path
        self._repository = repository

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open the store; make it when it is not there, and make it anew when it is damaged.

        Raises:
            StoreUnusable: it cannot be made: no space, no permission.
        """
        try:
            return cls._fixed(path)
        except (pygit2.GitError, FileNotFoundError, NotADirectoryError):
            return cls.anew(path)
        except OSError as error:  # what libgit2 could not even look at
            raise _unusable(path, error) from error

    @classmethod
    def anew(cls, path: Path) -> "Store":
        """Throw away what is there and make an empty store."""
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            pygit2.init_repository(str(path), bare=True)
            return cls._fixed(path)
        except (OSError, pygit2.GitError) as error:
            raise _unusable(path, error) from error

    @classmethod
    def _fixed(cls, path: Path) -> "Store":
        settings.fix(path)
        flags = enums.RepositoryOpenFlag.NO_SEARCH | enums.RepositoryOpenFlag.BARE
        return cls(path, pygit2.Repository(str(path), flags))

    def has(self, commit: str) -> bool:
        """Tell whether the commit was fetched (a fetch that was cut off leaves nothing)."""
        return commit in self._repository

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was left out of the history that the store holds."""
        return not self._repository.is_shallow

    @property
    def is_empty(self) -> bool:
        return FETCHED not in self._repository.references

    def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether the new commit descends from the old one, or is it, as far as the store's history goes.

        Raises:
            StoreUnusable: a commit of the history cannot be read.
        """
        if not self.has(old):
            return False
        with self._reading():
            return old == new or self._repository.descendant_of(pygit2.Oid(hex=new), pygit2.Oid(hex=old))

    def has_all_after(self, commit: str) -> bool:
        """Tell whether nothing that descends from the commit was left out.

        Then what it is not an ancestor of here, it is not an ancestor of anywhere.

        Raises:
            StoreUnusable: a commit of the history cannot be read.
        """
        with self._reading():
            cut_off = [] if self.is_whole else (self.path / "shallow").read_text().split()
        return all(self.is_ancestor(border, commit) for border in cut_off)

    def size(self, oid: str) -> int:
        """How many bytes :meth:`read` would give, as the store says; nothing of it is read.

        Raises:
            StoreUnusable: it is not there, or damaged.
        """
        with self._reading():
            return self._repository.odb.read_header(pygit2.Oid(hex=oid))[1]

    def read(self, oid: str) -> bytes:
        """The raw content of an object, without git's header.

        Raises:
            StoreUnusable: it is not there, or damaged.
            RevisionRejected: there is not enough memory for it.
        """
        with self._reading():
            number, content = self._repository.odb.read(pygit2.Oid(hex=oid))
            if objects.object_id(_KINDS[number], content) != oid:
                raise ValueError(f"the object {oid} is another one")
            return content

    def remember_tag(self, ref: str, tag: str) -> None:
        """Keep by which annotated tag (its id; empty: by none) a ref stands for its commit.

        Raises:
            StoreUnusable: there is no room.
        """
        name = _tag_name(ref)
        try:
            known = self._repository.references.get(name)
            if tag and (known is None or str(known.target) != tag):
                self._repository.references.create(name, pygit2.Oid(hex=tag), force=True)
            elif known is not None and not tag:
                known.delete()
        except (pygit2.GitError, ValueError, OSError) as error:
            raise _unusable(self.path, error) from error

    def tag_of(self, ref: str, commit: str) -> bytes:
        """The annotated tag by which a ref stands for a commit; empty where it stands for it by none.

        Raises:
            StoreUnusable: it cannot be read.
        """
        with self._reading():
            found = self._repository.references.get(_tag_name(ref))
            if found is None or str(found.peel(pygit2.Commit).id) != commit:
                return b""
            return self.read(str(found.target))

    def keep_small(self, commit: str) -> "Store":
        """Leave the past behind once it takes as much room as the present: the store that is there then.

        It is what a fresh shallow clone of the commit would be, made of what is here, without the server. It takes the
        old one's place by a rename: whoever looks finds one or the other. A crash in between leaves none, and the next
        poll fetches.

        Raises:
            StoreUnusable: it is damaged, or there is no room.
        """
        fresh = self.path / _FRESH
        packed = self._packed()
        try:
            bound = _GROWTH * int(fresh.read_text()) if fresh.exists() else 0
        except (OSError, ValueError):
            bound = 0
        if packed <= bound:
            return self
        if not bound and self._is_fresh(commit):
            self._note_fresh()
            return self
        beside, aside = (self.path.with_name(self.path.name + end) for end in leftovers.BESIDE)
        try:
            for left in (beside, aside):
                shutil.rmtree(left, ignore_errors=True)
            with self._reading():
                self._copy_present(pygit2.init_repository(str(beside), bare=True), commit)
            self.path.rename(aside)
            beside.rename(self.path)
        except OSError as error:
            raise _unusable(self.path, error) from error
        finally:
            for left in (beside, aside):
                shutil.rmtree(left, ignore_errors=True)
        small = Store.open(self.path)
        small._note_fresh()
        return small

    def _is_fresh(self, commit: str) -> bool:
        """Whether there is no past: nothing lies before the commit, or nothing of it was ever fetched."""
        with self._reading():
            border = self.path / "shallow"
            known = border.read_text().split() if border.is_file() else []
            return known == [commit] or not objects.commit_parents(self.read(commit))

    def _note_fresh(self) -> None:
        try:
            (self.path / _FRESH).write_text(str(self._packed()))
        except OSError as error:
            raise _unusable(self.path, error) from error

    def _copy_present(self, target: pygit2.Repository, commit: str) -> None:
        oid, content = pygit2.Oid(hex=commit), self.read(commit)
        builder = pygit2.PackBuilder(self._repository)
        builder.set_threads(1)
        builder.add(oid)
        builder.add_recur(pygit2.Oid(hex=objects.commit_tree(content)))
        tags = self._tags_of(oid)
        for tag in tags.values():
            builder.add(tag)
        builder.write(f"{target.path}/objects/pack")
        if objects.commit_parents(content):
            Path(target.path, "shallow").write_text(f"{commit}\n")
        target.references.create(FETCHED, oid)
        for name, tag in tags.items():
            target.references.create(name, tag)

    def _tags_of(self, commit: pygit2.Oid) -> dict[str, pygit2.Oid]:
        """The annotated tags of a commit that were remembered, by the name that they are kept under."""
        kept = [r for r in self._repository.references.iterator() if r.name.startswith(_TAGS)]
        tags = {r.name: self._repository[r.target] for r in kept}
        return {n: t.id for n, t in tags.items() if isinstance(t, pygit2.Tag) and t.target == commit}

    def _packed(self) -> int:
        """Bytes: a fetch writes packs, and nothing else."""
        with os.scandir(self.path / "objects/pack") as entries:
            return sum(entry.stat().st_size for entry in entries)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except MemoryError as error:
            raise RevisionRejected(_TOO_LARGE) from error
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            if "out of memory" in str(error).lower():
                raise RevisionRejected(_TOO_LARGE) from error
            raise StoreUnusable(
                f"{self.path}: the store of fetched commits is damaged: {error}: it is made anew; if that does not "
                "help, run git fsck on the server"
            ) from error

    def remote(self, url: str, access: Access) -> Remote | Bundle:
        """The repository at the URL; nothing is contacted yet."""
        place = parse(url)
        if isinstance(place, Local) and bundle.is_one(place):
            return Bundle(self._repository, url, place)
        return Remote(self._repository, url, access)


def _tag_name(ref: str) -> str:
    """Names of refs can stand in one another's way (v1, v1/x); their hashes cannot."""
    return _TAGS + hashlib.sha1(ref.encode(), usedforsecurity=False).hexdigest()


def _unusable(path: Path, error: Exception) -> StoreUnusable:
    return StoreUnusable(
        f"{path}: the store of fetched commits cannot be used: {error}: its directory must belong to the fetch user, "
        "be within its reach, and have space"
    )
