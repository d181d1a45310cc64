"""Write a pack that did not come by a fetch into a repository: libgit2 can, pygit2 has no name for it."""

import ctypes
import importlib
from typing import BinaryIO

from nodeagent.source.libgit2 import address_of, check_error, pygit2

_CHUNK = 65_536


class _Progress(ctypes.Structure):
    """``git_indexer_progress`` (git2/indexer.h)."""

    _fields_ = (("counts", ctypes.c_uint * 6), ("received_bytes", ctypes.c_size_t))


class _Writer(ctypes.Structure):
    """``git_odb_writepack`` (git2/odb_backend.h)."""


_Append = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_Writer), ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_Progress)
)
_Commit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Writer), ctypes.POINTER(_Progress))
_Free = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Writer))
_Writer._fields_ = (("backend", ctypes.c_void_p), ("append", _Append), ("commit", _Commit), ("free", _Free))


def write(repository: pygit2.Repository, pack: BinaryIO) -> None:
    """Index a pack into the repository, as a fetch does: all of it, or nothing. It is read to its end.

    Raises:
        GitError: it is damaged, builds on what the repository lacks, or cannot be stored.
    """
    library = ctypes.CDLL(importlib.import_module("pygit2._libgit2").__file__)
    database = ctypes.c_void_p()
    check_error(library.git_repository_odb(ctypes.byref(database), ctypes.c_void_p(address_of(repository))))
    try:
        writer = ctypes.POINTER(_Writer)()
        check_error(library.git_odb_write_pack(ctypes.byref(writer), database, None, None))
        try:
            progress = _Progress()
            while chunk := pack.read(_CHUNK):
                check_error(writer.contents.append(writer, chunk, len(chunk), ctypes.byref(progress)))
            check_error(writer.contents.commit(writer, ctypes.byref(progress)))
        finally:
            writer.contents.free(writer)
    finally:
        library.git_odb_free(database)
