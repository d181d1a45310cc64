"""Packs made by hand, sound ones and such that no git would make, and a server program that sends them over SSH.

Format: git's Documentation/gitformat-pack. Protocol: gitprotocol-pack, version 0.
"""

import hashlib
import shlex
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMIT, TREE, BLOB, REF_DELTA = 1, 2, 3, 7
_NAMES = {COMMIT: "commit", TREE: "tree", BLOB: "blob"}


def oid(kind: int, content: bytes) -> bytes:
    return hashlib.sha1(f"{_NAMES[kind]} {len(content)}\0".encode() + content, usedforsecurity=False).digest()


def head(kind: int, size: int) -> bytes:
    """What comes before the compressed content of an object."""
    first, size = size & 15, size >> 4
    found = bytearray()
    byte = kind << 4 | first
    while size:
        found.append(byte | 128)
        byte, size = size & 127, size >> 7
    found.append(byte)
    return bytes(found)


def entry(kind: int, content: bytes) -> bytes:
    return head(kind, len(content)) + zlib.compress(content)


def delta(base: bytes, base_size: int, result_size: int, instructions: bytes) -> bytes:
    """An object that is told as a change of another one, by its id."""
    content = _number(base_size) + _number(result_size) + instructions
    return head(REF_DELTA, len(content)) + base + zlib.compress(content)


def copy(offset: int, size: int) -> bytes:
    """An instruction of a delta: a part of the base, at most 2**24 - 1 bytes."""
    return bytes([0xFF]) + struct.pack("<I", offset) + struct.pack("<I", size)[:3]


def pack(entries: Iterable[bytes], *, count: int | None = None) -> bytes:
    found = list(entries)
    data = b"PACK" + struct.pack(">II", 2, len(found) if count is None else count) + b"".join(found)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def tree(*entries: tuple[bytes, bytes, bytes]) -> bytes:
    """Of (mode, name, id), as they stand: git would sort and check."""
    return b"".join(mode + b" " + name + b"\0" + oid for mode, name, oid in entries)


def commit(tree: bytes, *, who: bytes = b"A <a@b> 1700000000 +0000", parents: Iterable[bytes] = ()) -> bytes:
    lines = [b"tree " + tree.hex().encode(), *(b"parent " + parent.hex().encode() for parent in parents)]
    return b"\n".join([*lines, b"author " + who, b"committer " + who, b"", b"Made by hand", b""])


def command(data: Path, refs: Path) -> str:
    """The command line of a server that always sends the pack in ``data``; ``refs`` holds lines of ID and name."""
    return shlex.join([sys.executable, __file__, str(data), str(refs)])


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _line(text: bytes) -> bytes:
    return b"%04x" % (len(text) + 4) + text


def _asked() -> Iterator[bytes]:
    """What the client says, up to a flush (the empty line)."""
    while length := int(sys.stdin.buffer.read(4), 16):
        yield sys.stdin.buffer.read(length - 4)


def _serve(data: Path, refs: Path) -> None:
    out = sys.stdout.buffer
    for number, line in enumerate(refs.read_bytes().splitlines()):
        out.write(_line(line + (b"\0shallow\n" if number == 0 else b"\n")))
    out.write(b"0000")
    out.flush()
    wanted = list(_asked())
    if any(line.startswith(b"deepen") for line in wanted):
        out.write(_line(b"shallow " + wanted[0].split()[1]) + b"0000")
        out.flush()
    while not sys.stdin.buffer.read(int(sys.stdin.buffer.read(4), 16) - 4 or 0).startswith(b"done"):
        pass
    out.write(_line(b"NAK\n"))
    with data.open("rb") as file:
        while chunk := file.read(1 << 16):
            out.write(chunk)
    out.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
