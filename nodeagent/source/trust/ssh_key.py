"""SSH public keys: read them as strictly as they are compared, and verify with them.

Formats: RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709, and OpenSSH's PROTOCOL.u2f for security keys. A key is its
blob: only the one canonical form of each is taken, so that no second form gets past a list of revoked keys.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: TID251 - the door
from cryptography.hazmat.primitives import hashes  # noqa: TID251 - the door
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils  # noqa: TID251 - the door

SMALLEST_RSA = 2048  # bits
ED25519, RSA = "ssh-ed25519", "ssh-rsa"
SK_ED25519, SK_ECDSA = "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"

_CURVES: Mapping[str, tuple[Callable[[], ec.EllipticCurve], hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1, hashes.SHA256()),
    "nistp384": (ec.SECP384R1, hashes.SHA384()),
    "nistp521": (ec.SECP521R1, hashes.SHA512()),
}
_ECDSA = {f"ecdsa-sha2-{curve}": curve for curve in _CURVES}
_RSA_HASHES: Mapping[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_LARGEST_RSA = 16_384  # bits; as OpenSSH
_USER_PRESENT = 0x01
KINDS = frozenset({ED25519, RSA, SK_ED25519, SK_ECDSA, *_ECDSA})


class UnsoundError(ValueError):
    """A key or a signature is not what it has to be; the text says what it is."""


class Wire:
    """A row of SSH's values, taken one after the other."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def take(self, length: int) -> bytes:
        if len(self._rest) < length:
            raise UnsoundError("is cut off")
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def string(self) -> bytes:
        return self.take(self.number())

    def number(self) -> int:
        return int(struct.unpack(">I", self.take(4))[0])

    def mpint(self) -> int:
        """A positive number, in its one shortest form."""
        data = self.string()
        if not data or data[0] & 0x80 or (data[0] == 0 and (len(data) == 1 or not data[1] & 0x80)):
            raise UnsoundError("has a number in a form that nobody writes")
        return int.from_bytes(data)

    def end(self) -> None:
        if self._rest:
            raise UnsoundError("has something behind its end")


def string(data: bytes) -> bytes:
    """A value as it stands in a row of SSH's values."""
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``kind`` is the type as OpenSSH names it; made by :func:`read` only."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).rstrip(b"=").decode()

    @property
    def is_weak(self) -> bool:
        return self.kind == RSA and _rsa(self.blob).key_size < SMALLEST_RSA

    def verify(self, signature: bytes, data: bytes) -> None:
        """Verify a signature (algorithm and value, in SSH's form) of the data.

        Raises:
            UnsoundError: it is none of this key, or of an algorithm that is not taken.
        """
        wire = Wire(signature)
        algorithm = wire.string()
        try:
            _VERIFY[self.kind](self, algorithm.decode("latin-1"), wire, data)
        except InvalidSignature:
            raise UnsoundError("is not of this key and this content") from None


def decode(kind: str, text: str) -> PublicKey:
    """Read a key as it stands in a file: its type, and its blob in base64.

    Raises:
        UnsoundError: it is none, or of a type that is not taken.
    """
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UnsoundError("is no base64") from None
    if base64.b64encode(blob).decode() != text:
        raise UnsoundError("is in a form that nobody writes")
    key = read(blob)
    if key.kind != kind:
        raise UnsoundError(f"says {kind} and is {key.kind}")
    return key


def read(blob: bytes) -> PublicKey:
    """Read a key from its blob.

    Raises:
        UnsoundError: it is none, is not in its canonical form, or is of a type that is not taken.
    """
    kind = Wire(blob).string().decode("latin-1")
    if kind not in KINDS:
        raise UnsoundError(f"is of a type that is not taken ({kind[:64]!a})")
    key = PublicKey(kind=kind, blob=blob)
    try:
        if kind == RSA:
            _rsa(blob)
        elif kind in (ED25519, SK_ED25519):
            _ed25519(blob)
        else:
            _ecdsa(blob)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnsoundError(f"is no sound key: {error}") from error
    return key


# --- each type -------------------------------------------------------------------------------------------------


def _rsa(blob: bytes) -> rsa.RSAPublicKey:
    wire = Wire(blob)
    wire.string()
    exponent, modulus = wire.mpint(), wire.mpint()
    wire.end()
    if modulus.bit_length() > _LARGEST_RSA:
        raise UnsoundError(f"has more than {_LARGEST_RSA} bits")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _ed25519(blob: bytes) -> ed25519.Ed25519PublicKey:
    wire = Wire(blob)
    kind = wire.string()
    point = wire.string()
    if kind == SK_ED25519.encode():
        wire.string()  # the application
    wire.end()
    return ed25519.Ed25519PublicKey.from_public_bytes(point)


def _ecdsa(blob: bytes) -> ec.EllipticCurvePublicKey:
    wire = Wire(blob)
    kind, curve, point = wire.string().decode(), wire.string().decode("latin-1"), wire.string()
    if curve != _ECDSA.get(kind, "nistp256"):
        raise UnsoundError("has another curve than its type says")
    if kind == SK_ECDSA:
        wire.string()  # the application
    wire.end()
    if not point.startswith(b"\x04"):
        raise UnsoundError("has its point in a form that nobody writes")
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve][0](), point)


def _demand(algorithm: str, *allowed: str) -> None:
    if algorithm not in allowed:
        raise UnsoundError(f"is of an algorithm that is not taken ({algorithm[:64]!a})")


def _verify_rsa(key: PublicKey, algorithm: str, wire: Wire, data: bytes) -> None:
    _demand(algorithm, *_RSA_HASHES)  # not ssh-rsa, which is SHA-1
    value = wire.string()
    wire.end()
    if key.is_weak:
        raise UnsoundError(f"is of an RSA key of fewer than {SMALLEST_RSA} bits")
    _rsa(key.blob).verify(value, data, padding.PKCS1v15(), _RSA_HASHES[algorithm])


def _verify_ed25519(key: PublicKey, algorithm: str, wire: Wire, data: bytes) -> None:
    _demand(algorithm, ED25519)
    value = wire.string()
    wire.end()
    _ed25519(key.blob).verify(value, data)


def _verify_ecdsa(key: PublicKey, algorithm: str, wire: Wire, data: bytes) -> None:
    _demand(algorithm, key.kind)
    value = wire.string()
    wire.end()
    _ecdsa(key.blob).verify(_der(value), data, ec.ECDSA(_CURVES[_ECDSA[key.kind]][1]))


def _verify_sk_ed25519(key: PublicKey, algorithm: str, wire: Wire, data: bytes) -> None:
    _demand(algorithm, SK_ED25519)
    value = wire.string()
    _ed25519(key.blob).verify(value, _touched(key, wire, data))


def _verify_sk_ecdsa(key: PublicKey, algorithm: str, wire: Wire, data: bytes) -> None:
    _demand(algorithm, SK_ECDSA)
    value = wire.string()
    _ecdsa(key.blob).verify(_der(value), _touched(key, wire, data), ec.ECDSA(hashes.SHA256()))


_VERIFY: Mapping[str, Callable[[PublicKey, str, Wire, bytes], None]] = {
    RSA: _verify_rsa,
    ED25519: _verify_ed25519,
    SK_ED25519: _verify_sk_ed25519,
    SK_ECDSA: _verify_sk_ecdsa,
    **dict.fromkeys(_ECDSA, _verify_ecdsa),
}


def _der(value: bytes) -> bytes:
    """An ECDSA signature in the form that the library takes."""
    wire = Wire(value)
    r, s = wire.mpint(), wire.mpint()
    wire.end()
    return utils.encode_dss_signature(r, s)


def _touched(key: PublicKey, wire: Wire, data: bytes) -> bytes:
    """What a security key has signed; it must say that somebody touched it."""
    flags, counter = wire.take(1), wire.take(4)
    wire.end()
    if not flags[0] & _USER_PRESENT:
        raise UnsoundError("was made by a security key that nobody touched")
    fields = Wire(key.blob)
    *_, application = (fields.string() for _ in range(3 if key.kind == SK_ED25519 else 4))
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(data).digest()
