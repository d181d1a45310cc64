"""SSH signatures of content, as ``ssh-keygen -Y sign`` makes them (OpenSSH's PROTOCOL.sshsig). No I/O."""

import base64
import binascii
import hashlib

from nodeagent.source.trust import ssh_key
from nodeagent.source.trust.ssh_key import PublicKey, UnsoundError, Wire, string

NAMESPACE = b"git"
BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_VERSION = 1
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


def verify(armored: bytes, payload: bytes) -> PublicKey:
    """Verify a signature that git had made of a commit or tag: the key that made it, whoever's it is.

    Raises:
        UnsoundError: it is not of this content, or not in the format; the text says what it is.
    """
    wire = Wire(_dearmor(armored))
    if wire.take(len(_MAGIC)) != _MAGIC or wire.number() != _VERSION:
        raise UnsoundError("is none of SSH's, or of a later version")
    key = ssh_key.read(wire.string())
    namespace, reserved, name, signature = (wire.string() for _ in range(4))
    wire.end()
    if namespace != NAMESPACE:
        raise UnsoundError(f"was made for something else than git (namespace {ascii(namespace[:64])[1:]})")
    if reserved or name not in _HASHES:
        raise UnsoundError("is of an algorithm that is not taken")
    digest = _HASHES[name](payload).digest()
    key.verify(signature, _MAGIC + b"".join(map(string, (namespace, b"", name, digest))))
    return key


def _dearmor(armored: bytes) -> bytes:
    lines = armored.rstrip(b"\n").split(b"\n")
    if lines[0] != BEGIN or lines[-1] != END:
        raise UnsoundError("is cut off, or has something behind its end")
    text = b"".join(lines[1:-1])
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise UnsoundError("is no base64") from None
    if base64.b64encode(data) != text:
        raise UnsoundError("is in a form that nobody writes")
    return data
