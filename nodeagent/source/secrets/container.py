"""The key file's format: what ``openssl enc -aes-256-cbc -a -salt -pbkdf2`` writes, read and written here.

As openssl's ``apps/enc.c`` has it: ``Salted__``, 8 bytes of salt, then AES-256-CBC with PKCS#7 padding. Key and
initialisation vector are 48 bytes of PBKDF2-HMAC, by default of SHA-256 in 10,000 rounds; ``-md`` and ``-iter`` change
that, and nothing in the file says so. ``-a`` wraps all of it in base64, 64 characters a line. There is no integrity
check in the format: a wrong password shows as bad padding in 255 of 256 cases.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Literal, NoReturn

from cryptography.hazmat.primitives import hashes, padding  # noqa: TID251 - the door
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: TID251 - the door
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC  # noqa: TID251 - the door

from nodeagent.errors import KeyFileInvalid, WrongPassword

MAGIC = b"Salted__"
SALT_BYTES = 8
KEY_BYTES = 32
BLOCK = 16
LINE = 64
HOW_TO_MAKE = "make it with: openssl enc -aes-256-cbc -a -salt -pbkdf2 -in key -out key.enc"

_HASHES = {"sha256": hashes.SHA256, "sha512": hashes.SHA512}
Octets = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How AES' key is made of the password: openssl's ``-iter`` and ``-md``."""

    iterations: int = 10_000
    digest: Literal["sha256", "sha512"] = "sha256"

    def __str__(self) -> str:
        return f"{self.iterations} rounds of {self.digest}"


DEFAULT = Derivation()


def encrypt(payload: bytes, password: Octets, derivation: Derivation = DEFAULT) -> bytes:
    """Encrypt as ``openssl enc -aes-256-cbc -a -salt -pbkdf2`` does; any payload, byte for byte."""
    salt = os.urandom(SALT_BYTES)
    padder = padding.PKCS7(BLOCK * 8).padder()
    padded = padder.update(payload) + padder.finalize()
    text = base64.b64encode(MAGIC + salt + _aes(padded, password, salt, derivation, decrypt=False))
    return b"".join(text[at : at + LINE] + b"\n" for at in range(0, len(text), LINE))


def decrypt(data: bytes, password: Octets, derivation: Derivation = DEFAULT) -> bytes:
    """Decrypt what openssl or :func:`encrypt` made, with or without ``-a``, with LF or CR/LF.

    Raises:
        KeyFileInvalid: the data is not in that format, or cut off.
        WrongPassword: the password does not open it (or the data is damaged: the format cannot tell).
    """
    salt, ciphertext = _parse(data)
    padded = _aes(ciphertext, password, salt, derivation, decrypt=True)
    unpadder = padding.PKCS7(BLOCK * 8).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        wrong(password, derivation)


def wrong(password: Octets, derivation: Derivation) -> NoReturn:
    """Say that the password does not open the key file.

    Raises:
        WrongPassword: always.
    """
    hint = ""
    if not password:
        hint = " (the password's first line is empty)"
    elif bytes(password[-1:]) == b"\r":
        hint = " (the password ends in a carriage return, which counts: was its file edited on Windows?)"
    raise WrongPassword(
        f"the password does not open the key file{hint}: correct the password, or encrypt the key again with this one; "
        f"tried with {derivation}: what was given to openssl as -iter and -md is source.key_iterations and "
        "source.key_digest"
    ) from None


def _aes(text: bytes, password: Octets, salt: bytes, derivation: Derivation, *, decrypt: bool) -> bytes:
    derived = bytearray(KEY_BYTES + BLOCK)
    try:
        PBKDF2HMAC(_HASHES[derivation.digest](), len(derived), salt, derivation.iterations).derive_into(
            password, derived
        )
        view = memoryview(derived)  # a slice of the buffer itself would be a copy
        cipher = Cipher(algorithms.AES256(view[:KEY_BYTES]), modes.CBC(view[KEY_BYTES:]))
        context = cipher.decryptor() if decrypt else cipher.encryptor()
        return context.update(text) + context.finalize()
    finally:
        derived[:] = bytes(len(derived))


def _parse(data: bytes) -> tuple[bytes, bytes]:
    """Split into salt and ciphertext, whatever it is wrapped in."""
    if not data.strip():
        raise KeyFileInvalid(f"the key file is empty: {HOW_TO_MAKE}")
    if data.lstrip().startswith(b"-----BEGIN "):
        raise KeyFileInvalid(
            f"the key file is not encrypted: {HOW_TO_MAKE}; a key without a password may come as the systemd "
            "credential that source.key_credential names, which lies in memory"
        )
    if not data.startswith(MAGIC):
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error as error:
            raise KeyFileInvalid(f"the key file is neither base64 nor openssl's raw format: {HOW_TO_MAKE}") from error
        if not data.startswith(MAGIC):
            raise KeyFileInvalid(f"the key file does not begin with openssl's {MAGIC.decode()!r}: {HOW_TO_MAKE}")
    salt, ciphertext = data[len(MAGIC) :][:SALT_BYTES], data[len(MAGIC) + SALT_BYTES :]
    if not ciphertext or len(ciphertext) % BLOCK:
        raise KeyFileInvalid(f"the key file is cut off or damaged: copy it again, or {HOW_TO_MAKE}")
    return salt, ciphertext
