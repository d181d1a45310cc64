"""The checkout: a directory of root's own that holds exactly what a revision's tree holds.

Below the state directory lies a record of what was placed there and how ``lstat`` saw it. By it one cheap look tells
whether the checkout is still as it was left, and which files need not be handed over again. The record is written
last: after a crash it does not fit, and the next install repairs whatever it finds.

Nothing here follows a link. Only root can enter the checkout, so nobody else can put one in the way.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nodeagent.errors import WorkerFailed
from nodeagent.model.evaluation import Commit
from nodeagent.source.checkout import record
from nodeagent.source.checkout.claim import claim, own
from nodeagent.source.checkout.handover import STAGING
from nodeagent.source.checkout.known import Known
from nodeagent.source.checkout.manifest import Entry, Item, Manifest, parents
from nodeagent.source.checkout.record import Identity, Place, Record
from nodeagent.source.store import objects

_CHUNK = 1 << 16
_MOST_LINKS = 8  # in a row, from a path to a file


class Checkout:
    """The checkout at one path, and its record below the state directory."""

    def __init__(self, path: Path, state_dir: Path) -> None:
        self.path = path
        self._file = state_dir / "checkout.json"
        self._record = record.load(self._file, path)
        self._whole: set[str] | None = None  # the paths that stood unharmed when have() looked

    @property
    def commit(self) -> str:
        """The commit (hex) that was installed last; empty before the first."""
        return self._record.commit

    @property
    def tree(self) -> str:
        """The id of its tree (hex), or empty."""
        return self._record.tree

    @property
    def origin(self) -> Commit | None:
        """Who made the commit, if that was told."""
        return self._record.origin

    @property
    def items(self) -> Mapping[str, Item]:
        """What the tree holds, by path."""
        return {name: place.item for name, place in self._record.places.items()}

    def intact(self, tree: str) -> bool:
        """Tell whether the checkout holds this tree, and nobody touched it since :meth:`install` or :meth:`settle`."""
        known = self._record
        return (
            bool(tree)
            and known.tree == tree
            and all(self._identity(name) == identity for name, identity in known.directories.items())
            and all(self._identity(name) == place.identity for name, place in known.places.items())
        )

    def have(self) -> Mapping[str, int]:
        """The blobs (hex ids, with sizes in bytes) that stand unharmed in the checkout."""
        places = self._record.places
        self._whole = {name for name, place in places.items() if self._is_whole(name, place)}
        found = (places[name].item for name in self._whole)
        return {item.oid: item.size for item in found if item.entry is not Entry.LINK}

    def known(self) -> Known:
        """The trees all of whose blobs and links stood unharmed when :meth:`have` looked."""
        assert self._whole is not None, "have() comes first"
        return Known(self._record.trees, self.items, self._record.places.keys() - self._whole)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory of root's own on the checkout's file system, gone afterwards.

        Makes the checkout when it is not there. What somebody else put at its path is set aside if it looks like a
        clone of the repository (it has a post.sh), and is otherwise left alone.

        Raises:
            InvalidConfiguration: the path is in use for something else.
            WorkerFailed: something cannot be written, here or within the ``with`` block.
        """
        directory = self.path / STAGING
        try:
            self._claim()
            _remove(directory)
            directory.mkdir(mode=0o700)
            try:
                yield directory
            finally:
                _remove(directory)
        except OSError as error:
            raise WorkerFailed(
                f"{error.filename or self.path}: cannot be written: {error.strerror or error}: mend it or make room; "
                "the next cycle tries again"
            ) from error

    def read(self, manifest: Manifest, staging: Path, name: str) -> bytes | None:
        """A file of a revision that is not installed yet, within :meth:`staging`; links in the tree are followed.

        Returns:
            None where the tree has no such file.
        """
        for _ in range(_MOST_LINKS):
            item = manifest.items.get(name)
            if item is None or item.entry is not Entry.LINK:
                break
            name = os.path.normpath(os.path.join(os.path.dirname(name), item.target))
        if item is None or item.entry is Entry.LINK:
            return None
        if (staging / item.oid).exists():
            return (staging / item.oid).read_bytes()
        stands = next(n for n, p in self._record.places.items() if p.item.oid == item.oid and self._is_whole(n, p))
        return (self.path / stands).read_bytes()

    def install(self, manifest: Manifest, staging: Path) -> Sequence[str]:
        """Make the checkout equal to the manifest: files, links, directories, modes, and nothing else.

        What was not among :meth:`have` is taken from ``staging``, by blob id, within :meth:`staging`.

        Returns:
            The paths (relative, sorted) that were made, replaced or removed.

        Raises:
            WorkerFailed: a file changed under our hands; another hand-over repairs it.
        """
        missing = [name for name, item in manifest.items.items() if not self._is_in_place(name, item)]
        self._stage_from_checkout(manifest, missing, staging)
        directories = {directory for name in manifest.items for directory in parents(name)}
        changed = self._clear(manifest, directories)
        for directory in sorted(directories):
            _make_directory(self.path / directory)
        self._place(manifest, missing, staging)
        changed.update(missing)
        _remove(staging)  # before the record is taken: it changes the top directory
        self._remember(manifest, missing, directories)
        return sorted(changed)

    def settle(self) -> None:
        """Take the checkout as it is now for untouched: an evaluation's own steps changed it (``chmod +x``, ``touch``).

        What they changed counts as untouched for :meth:`intact`, but a file whose content they changed is not among
        :meth:`have`, and the next :meth:`install` puts the tree's content and mode back.
        """
        known = self._record
        places = dict(known.places)
        for name, place in known.places.items():
            identity = self._identity(name)
            if identity != place.identity:
                whole = place.item.entry is not Entry.LINK and self._digest(name, identity) == place.item.oid
                places[name] = Place(item=place.item, identity=identity, whole=whole)
        directories = {name: self._identity(name) for name in known.directories}
        if (places, directories) != (known.places, known.directories):
            self._save(replace(known, places=places, directories=directories))

    # --- what stands there ---------------------------------------------------------------------------------------

    def _identity(self, name: str) -> Identity | None:
        return record.identity(f"{self.path}/{name}" if name else str(self.path))

    def _is_whole(self, name: str, place: Place) -> bool:
        """Tell whether the content at the path is the item's."""
        return place.whole and place.identity is not None and self._identity(name) == place.identity

    def _is_in_place(self, name: str, item: Item) -> bool:
        """Tell whether what stands at the path is the item in content, kind, mode and owner."""
        place = self._record.places.get(name)
        if place is None or place.item != item:
            return False
        if not (self._is_whole(name, place) if self._whole is None else name in self._whole):
            return False
        assert place.identity is not None
        mode, uid, gid, *_ = place.identity
        owned = uid == os.geteuid() and gid == os.getegid()
        return owned and (item.entry is Entry.LINK or stat.S_IMODE(mode) == item.entry.value)

    def _digest(self, name: str, identity: Identity | None) -> str:
        """The blob id of the regular file at the path; empty when there is none."""
        if identity is None or not stat.S_ISREG(identity[0]):
            return ""
        with open(_open(self.path / name), "rb") as file:
            digest = objects.hasher(objects.Kind.BLOB, os.fstat(file.fileno()).st_size)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    # --- the steps of an install ---------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Make the top directory, or make sure that it is ours to empty."""
        claimed = bool(self._record.directories)
        claim(self.path, ours=claimed)
        if not claimed:  # on record before anything is put there: what a crash leaves is then known as ours
            self._save(Record(commit="", tree="", places={}, directories={"": self._identity("")}))

    def _stage_from_checkout(self, manifest: Manifest, missing: Sequence[str], staging: Path) -> None:
        """Copy what is needed elsewhere and stands in the checkout, before anything there is changed."""
        wanted = {manifest.items[name].oid for name in missing if manifest.items[name].entry is not Entry.LINK}
        wanted -= set(os.listdir(staging))
        for name, place in self._record.places.items():
            if place.item.oid in wanted and place.item.entry is not Entry.LINK and self._is_whole(name, place):
                shutil.copyfile(self.path / name, staging / place.item.oid, follow_symlinks=False)
                wanted.discard(place.item.oid)
        if wanted:
            raise WorkerFailed(f"{self.path}: changed while a revision was installed: the next cycle installs it")

    def _clear(self, manifest: Manifest, directories: set[str]) -> set[str]:
        """Remove what is not in the tree, or stands where the tree has something else; the paths removed."""
        removed = set()
        pending = [""]
        while pending:
            above = pending.pop()
            with os.scandir(self.path / above) as entries:
                found = list(entries)
            for entry in found:
                name = f"{above}/{entry.name}" if above else entry.name
                if name == STAGING:
                    continue
                if entry.is_dir(follow_symlinks=False) and name in directories:
                    pending.append(name)
                elif entry.is_dir(follow_symlinks=False) or name not in manifest.items:
                    _remove(self.path / name)
                    removed.add(name)
        return removed

    def _place(self, manifest: Manifest, missing: Sequence[str], staging: Path) -> None:
        """Rename what was staged into place; the last path of a blob takes the staged file itself."""
        last = {manifest.items[name].oid: name for name in missing}
        for name in missing:
            item = manifest.items[name]
            ready = f"{staging}/ready"
            if item.entry is Entry.LINK:
                os.symlink(item.target, ready)
            elif last[item.oid] == name:
                ready = f"{staging}/{item.oid}"
                own(ready, item.entry.value)
            else:
                shutil.copyfile(f"{staging}/{item.oid}", ready)
                own(ready, item.entry.value)
            os.rename(ready, f"{self.path}/{name}")

    def _remember(self, manifest: Manifest, placed: Sequence[str], directories: set[str]) -> None:
        places = {name: place for name, place in self._record.places.items() if name in manifest.items}
        for name in placed:
            places[name] = Place(item=manifest.items[name], identity=self._identity(name), whole=True)
        identities = {name: self._identity(name) for name in ("", *sorted(directories))}
        commit, origin = manifest.commit, manifest.origin
        self._save(
            Record(
                commit=commit,
                tree=manifest.tree,
                places=places,
                directories=identities,
                origin=origin,
                trees=manifest.directories,
            )
        )

    def _save(self, new: Record) -> None:
        record.save(self._file, self.path, new)
        self._record = new
        self._whole = None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def _make_directory(path: Path) -> None:
    """Make the directory, or correct it; what else stood there was removed before."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    found = path.lstat()
    if found.st_mode != stat.S_IFDIR | 0o755 or (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        own(path, 0o755)


def _remove(path: Path) -> None:
    """Remove whatever stands at the path, if anything."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # unlink(2) of a directory: EISDIR on Linux, EPERM elsewhere
        shutil.rmtree(path)
