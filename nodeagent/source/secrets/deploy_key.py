"""The key file: what ``openssl enc -aes-256-cbc -a -salt -pbkdf2`` writes, read and written here.

The format (openssl's ``apps/enc.c``): ``Salted__``, 8 bytes of salt, then AES-256-CBC with PKCS#7 padding. Key and
initialisation vector are 48 bytes of PBKDF2-HMAC-SHA256 with 10,000 rounds. ``-a`` wraps all of it in base64, 64
characters a line. There is no integrity check in the format: a wrong password shows as bad padding in 255 of 256
cases, which is why :func:`decrypt_private_key` also looks for a private key.
"""

import base64
import binascii
import hashlib
import os
import struct
from typing import NoReturn

from cryptography.hazmat.primitives import padding, serialization  # noqa: TID251 - the door
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: TID251 - the door
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: TID251 - the door

from nodeagent.errors import KeyFileInvalid, WrongPassword

MAGIC = b"Salted__"
SALT_BYTES = 8
ROUNDS = 10_000
BLOCK = 16
LINE = 64

_HOW_TO_MAKE = "make it with: openssl enc -aes-256-cbc -a -salt -pbkdf2 -in key -out key.enc"
_OPENSSH_MAGIC = b"openssh-key-v1\0"


def encrypt(payload: bytes, password: bytes) -> bytes:
    """Encrypt as ``openssl enc -aes-256-cbc -a -salt -pbkdf2`` does; any payload, byte for byte."""
    salt = os.urandom(SALT_BYTES)
    padder = padding.PKCS7(BLOCK * 8).padder()
    encryptor = _cipher(password, salt).encryptor()
    padded = padder.update(payload) + padder.finalize()
    text = base64.b64encode(MAGIC + salt + encryptor.update(padded) + encryptor.finalize())
    return b"".join(text[at : at + LINE] + b"\n" for at in range(0, len(text), LINE))


def decrypt(data: bytes, password: bytes) -> bytes:
    """Decrypt what openssl or :func:`encrypt` made, with or without ``-a``, with LF or CR/LF.

    Raises:
        KeyFileInvalid: the data is not in that format, or cut off.
        WrongPassword: the password does not open it (or the data is damaged: the format cannot tell).
    """
    salt, ciphertext = _parse(data)
    decryptor = _cipher(password, salt).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = padding.PKCS7(BLOCK * 8).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        _wrong(password)


def decrypt_private_key(data: bytes, password: bytes) -> bytes:
    """Decrypt and demand a private key, which may have a passphrase of its own: noise is never taken for a content.

    Raises:
        KeyFileInvalid: the data is not in openssl's format, or it opens and is no private key.
        WrongPassword: the password does not open it.
    """
    payload = decrypt(data, password)
    if _private_key_label(payload) is None:
        if not payload or not payload.isascii():
            _wrong(password)  # 1 wrong password in 256 passes the padding, and yields noise
        raise KeyFileInvalid(
            "the key file opens, but holds no private key: encrypt the file without .pub that ssh-keygen made"
        )
    return payload


def decrypt_deploy_key(data: bytes, password: bytes) -> bytes:
    """Decrypt and demand an SSH private key that needs no passphrase of its own.

    Raises:
        KeyFileInvalid: the data is not in openssl's format, or it opens and is no usable private key.
        WrongPassword: the password does not open it.
    """
    payload = decrypt_private_key(data, password)
    if not payload.isascii() or b"\0" in payload:
        raise KeyFileInvalid(f"the key file opens, but the private key in it is damaged: {_HOW_TO_MAKE}")
    if _has_passphrase(payload):
        raise KeyFileInvalid(
            "the private key in the key file has a passphrase of its own: remove it with ssh-keygen -p -N '' -f key, "
            "and encrypt the key again"
        )
    return payload


def generate(comment: str) -> tuple[bytes, bytes]:
    """Make an ed25519 key pair in OpenSSH's formats: (private key, public key line)."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return private, b" ".join(filter(None, (public, comment.encode()))) + b"\n"


def _cipher(password: bytes, salt: bytes) -> Cipher[modes.CBC]:
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, ROUNDS, 32 + BLOCK)
    return Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:]))


def _parse(data: bytes) -> tuple[bytes, bytes]:
    """Split into salt and ciphertext, whatever it is wrapped in."""
    if not data.strip():
        raise KeyFileInvalid(f"the key file is empty: {_HOW_TO_MAKE}")
    if not data.startswith(MAGIC):
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error as error:
            raise KeyFileInvalid(f"the key file is neither base64 nor openssl's raw format: {_HOW_TO_MAKE}") from error
        if not data.startswith(MAGIC):
            raise KeyFileInvalid(f"the key file does not begin with openssl's {MAGIC.decode()!r}: {_HOW_TO_MAKE}")
    salt, ciphertext = data[len(MAGIC) :][:SALT_BYTES], data[len(MAGIC) + SALT_BYTES :]
    if not ciphertext or len(ciphertext) % BLOCK:
        raise KeyFileInvalid(f"the key file is cut off or damaged: copy it again, or {_HOW_TO_MAKE}")
    return salt, ciphertext


def _wrong(password: bytes) -> NoReturn:
    hint = ""
    if not password:
        hint = " (the password's first line is empty)"
    elif password.endswith(b"\r"):
        hint = " (the password ends in a carriage return, which counts: was its file edited on Windows?)"
    raise WrongPassword(
        f"the password does not open the key file{hint}: correct the password, or encrypt the key again with this one"
    ) from None


def _private_key_label(payload: bytes) -> str | None:
    """``OPENSSH`` of ``-----BEGIN OPENSSH PRIVATE KEY-----``; empty for PKCS#8; None when it is no private key."""
    first = payload.lstrip().split(b"\n", 1)[0].rstrip()
    if not (first.startswith(b"-----BEGIN ") and first.endswith(b"PRIVATE KEY-----")):
        return None
    return first[len(b"-----BEGIN ") : -len(b"PRIVATE KEY-----")].strip().decode("ascii", "replace")


def _has_passphrase(payload: bytes) -> bool:
    label = _private_key_label(payload)
    if label == "ENCRYPTED" or b"Proc-Type: 4,ENCRYPTED" in payload:
        return True
    if label != "OPENSSH":
        return False
    body = b"".join(line.strip() for line in payload.splitlines() if not line.startswith(b"-----"))
    # OpenSSH's PROTOCOL.key: the magic, then the name of the cipher as a string with its length before it. What is no
    # multiple of 3 bytes ends in base64 digits that depend on what follows: they are left out.
    named_none = base64.b64encode(_OPENSSH_MAGIC + struct.pack(">I", 4) + b"none")[:-4]
    return body.startswith(base64.b64encode(_OPENSSH_MAGIC)) and not body.startswith(named_none)
