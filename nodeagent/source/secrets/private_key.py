"""What a private key is, by its text alone: which form and kind it has, and whether libssh2 can log in with it.

The forms: OpenSSH's own (its ``PROTOCOL.key``), PKCS#1 and SEC1 ("PEM" in ``ssh-keygen -m``), PKCS#8 (RFC 5958).
libssh2 takes each of them from memory. Nothing is computed here: a damaged number shows itself at the server.
"""

import base64
import binascii
import struct

from nodeagent.errors import KeyFileInvalid

_BEGIN, _END = b"-----BEGIN ", b"PRIVATE KEY-----"
_OPENSSH_MAGIC = b"openssh-key-v1\0"
_OPENSSH_KINDS = (b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp521")
# DER of the object identifiers by which PKCS#8 names the kind, and of those by which it names an elliptic curve.
_RSA, _EC, _ED25519 = map(bytes.fromhex, ("06092a864886f70d010101", "06072a8648ce3d0201", "06032b6570"))
_CURVES = tuple(map(bytes.fromhex, ("06082a8648ce3d030107", "06052b81040022", "06052b81040023")))
_MEND = "make an ed25519 key (nodeagent key generate), and give the server its public half"
_PLAIN = "the private key in the key file"


def label_of(text: bytes) -> str | None:
    """``OPENSSH`` of ``-----BEGIN OPENSSH PRIVATE KEY-----``; empty for PKCS#8; None when it is no private key.

    What stands before that line is passed over, as libssh2 does: ``openssl ecparam`` puts the curve there.
    """
    first = _from_begin(text)[:1]
    return first[0][len(_BEGIN) : -len(_END)].strip().decode("ascii", "replace") if first else None


def _from_begin(text: bytes) -> list[bytes]:
    """The lines from the one that begins the private key; none where there is no such line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    begins = (at for at, line in enumerate(lines) if line.startswith(_BEGIN) and line.endswith(_END))
    return lines[next(begins, len(lines)) :]


def demand_usable(text: bytes, name: str = _PLAIN) -> None:
    """Demand a private key that libssh2 takes, and that has no passphrase.

    Raises:
        KeyFileInvalid: it is damaged, has a passphrase, or is of a kind that cannot log in from here; ``name`` is what
            the message calls it.
    """
    label = label_of(text)
    if label is None:
        raise KeyFileInvalid(f"{name} is none{_instead(text)}")
    if not text.isascii() or b"\0" in text:
        raise KeyFileInvalid(f"{name} is damaged: copy it again, byte for byte")
    if label == "ENCRYPTED" or b"Proc-Type: 4,ENCRYPTED" in text:
        _has_passphrase(name)
    match label:
        case "OPENSSH":
            _demand_openssh(_body(text, name), name)
        case "":
            _demand_pkcs8(_body(text, name), name)
        case "EC":
            _demand_curve(_body(text, name), name)
        case "RSA":
            _body(text, name)
        case _:
            raise KeyFileInvalid(f"{name} is of kind {label}: libssh2 does not log in with it: {_MEND}")


def _instead(text: bytes) -> str:
    """What somebody has taken for the private key."""
    first = text.split(None, 1)[0] if text.strip() else b""
    if b"-cert-v01@openssh.com" in first:
        return ", but a certificate: the private key is the file without -cert.pub, and certificates are not supported"
    if first.startswith(b"PuTTY-User-Key-File"):
        return ", but PuTTY's form of one: export it as an OpenSSH key (puttygen key.ppk -O private-openssh -o key)"
    return ": take the file without .pub that ssh-keygen made"


def _body(text: bytes, name: str) -> bytes:
    """What the armour holds."""
    lines = _from_begin(text)
    if len(lines) < 3 or lines[-1] != lines[0].replace(b"BEGIN", b"END"):
        raise KeyFileInvalid(f"{name} is cut off: its last line is missing")
    try:
        return base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise KeyFileInvalid(f"{name} is damaged: copy it again, byte for byte") from error


def _demand_openssh(body: bytes, name: str) -> None:
    """The fields before the secret: cipher, its key's derivation and options, number of keys, the public half."""
    try:
        if not body.startswith(_OPENSSH_MAGIC):
            raise ValueError("no magic")
        rest = body[len(_OPENSSH_MAGIC) :]
        cipher, rest = _string(rest)
        for _ in range(2):
            _, rest = _string(rest)
        public, _ = _string(rest[4:])
        kind, _ = _string(public)
    except ValueError as error:
        raise KeyFileInvalid(f"{name} is damaged: copy it again, byte for byte") from error
    if cipher != b"none":
        _has_passphrase(name)
    if kind.startswith(b"sk-"):
        raise KeyFileInvalid(f"{name} needs a security key (FIDO) that somebody touches, which no node has: {_MEND}")
    if kind not in _OPENSSH_KINDS:
        shown = kind.decode("ascii", "backslashreplace")
        raise KeyFileInvalid(f"{name} is of kind {shown}: libssh2 does not log in with it: {_MEND}")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """An SSH string (RFC 4251, 5), and what follows it."""
    if len(data) < 4 or len(data) < 4 + (length := struct.unpack(">I", data[:4])[0]):
        raise ValueError("cut off")
    return data[4 : 4 + length], data[4 + length :]


def _demand_pkcs8(body: bytes, name: str) -> None:
    head = body[:48]  # version, then the identifiers of kind and curve
    if not any(kind in head for kind in (_RSA, _EC, _ED25519)):
        raise KeyFileInvalid(f"{name} is neither RSA, nor ECDSA, nor ed25519: libssh2 does not log in with it: {_MEND}")
    if _EC in head:
        _demand_curve(head, name)


def _demand_curve(body: bytes, name: str) -> None:
    if not any(curve in body for curve in _CURVES):
        raise KeyFileInvalid(f"{name} is on another elliptic curve than the NIST ones that SSH has: {_MEND}")


def _has_passphrase(name: str) -> None:
    raise KeyFileInvalid(
        f"{name} has a passphrase of its own: remove it with ssh-keygen -p -N '' -f key, and encrypt the key again"
    )
