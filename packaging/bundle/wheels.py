"""The pinned libraries: each file is known by its hash before it is opened."""

import email.parser
import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

_PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
_SDIST = ".tar.gz"


class NotPinned(Exception):
    """A library is missing, or is not the one that the requirements name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One library as a registry has it: a wheel, or a source archive."""

    name: str
    version: str
    digest: str  # SHA-256 of the file
    file: Path
    metadata: Message

    @property
    def is_source(self) -> bool:
        return self.file.name.endswith(_SDIST)

    @property
    def licence(self) -> str:
        """As its metadata has it: an SPDX expression in newer ones, a name in older ones."""
        return self.metadata["License-Expression"] or self.metadata["License"] or ""


def collect(requirements: str, directory: Path) -> Iterator[Distribution]:
    """The file of each requirement (text as ``pip-compile --generate-hashes`` writes it).

    Raises:
        NotPinned: a requirement has no file, or none with a hash that is allowed.
    """
    files = {_name_of(file): file for file in sorted(directory.iterdir())}
    for name, version, hashes in _PIN.findall(requirements):
        if (file := files.get(name)) is None:
            raise NotPinned(f"{name}=={version}: there is no file of it in {directory}")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest not in hashes:
            raise NotPinned(f"{file}: its hash is {digest}, which the requirements do not name for {name}=={version}")
        yield Distribution(name=name, version=version, digest=digest, file=file, metadata=_metadata(file))


def unpack(wheel: Path, target: Path, *, left_out: Iterable[str]) -> None:
    """Unpack a wheel's modules, but for what matches a pattern of ``left_out``; its metadata stays out too."""
    patterns = [re.compile(pattern) for pattern in left_out]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".dist-info/" in name or name.endswith("/") or any(p.search(name) for p in patterns):
                continue
            if ".data/" in name:
                raise NotPinned(f"{wheel}: {name}: only modules are known how to unpack")
            archive.extract(name, target)
            (target / name).chmod(0o755 if ".so" in Path(name).suffixes else 0o644)


def texts(distribution: Distribution, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Names, without directories, and contents of the files whose path in the archive matches."""
    if distribution.is_source:
        with tarfile.open(distribution.file) as archive:
            for member in archive:
                if re.search(pattern, member.name) and (stream := archive.extractfile(member)):
                    yield Path(member.name).name, stream.read()
    else:
        with zipfile.ZipFile(distribution.file) as wheel:
            for name in wheel.namelist():
                if re.search(pattern, name):
                    yield Path(name).name, wheel.read(name)


def _name_of(file: Path) -> str:
    stem = file.name.removesuffix(_SDIST)
    name = stem.rpartition("-")[0] if file.name.endswith(_SDIST) else stem.partition("-")[0]
    return name.replace("_", "-").lower()


def _metadata(file: Path) -> Message:
    if file.name.endswith(_SDIST):
        with tarfile.open(file) as archive:
            stream = archive.extractfile(file.name.removesuffix(_SDIST) + "/PKG-INFO")
            assert stream is not None
            return email.parser.BytesHeaderParser().parsebytes(stream.read())
    with zipfile.ZipFile(file) as wheel:
        (name,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return email.parser.BytesHeaderParser().parsebytes(wheel.read(name))
