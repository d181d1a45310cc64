"""The deploy key in its encrypted file: opened, judged, made."""

from cryptography.hazmat.primitives import serialization  # noqa: TID251 - the door
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: TID251 - the door

from nodeagent.config import Source
from nodeagent.errors import KeyFileInvalid, WrongPassword
from nodeagent.source.secrets import container, private_key
from nodeagent.source.secrets.container import DEFAULT, Derivation, Octets


def decrypt_private_key(data: bytes, password: Octets, derivation: Derivation = DEFAULT) -> bytes:
    """Decrypt and demand a private key, which may have a passphrase of its own: noise is never taken for a content.

    Raises:
        KeyFileInvalid: the data is not in openssl's format, or it opens and is no private key.
        WrongPassword: the password does not open it.
    """
    payload = container.decrypt(data, password, derivation)
    if private_key.label_of(payload) is None:
        if not payload or not payload.isascii():
            container.wrong(password, derivation)  # 1 wrong password in 256 passes the padding, and yields noise
        raise KeyFileInvalid(
            "the key file opens, but holds no private key: encrypt the file without .pub that ssh-keygen made"
        )
    return payload


def decrypt_deploy_key(data: bytes, password: Octets, derivation: Derivation = DEFAULT) -> bytes:
    """Decrypt and demand an SSH private key that needs no passphrase of its own.

    Raises:
        KeyFileInvalid: the data is not in openssl's format, or it opens and is no usable private key.
        WrongPassword: the password does not open it.
    """
    payload = decrypt_private_key(data, password, derivation)
    private_key.demand_usable(payload)
    return payload


def open_file(source: Source, password: Octets) -> bytes:
    """Read ``source.key`` and open it.

    Raises:
        KeyFileInvalid, WrongPassword: as :func:`decrypt_deploy_key`; or the file cannot be read.
    """
    try:
        data = source.key.read_bytes()
    except OSError as error:
        raise KeyFileInvalid(
            f"{source.key}: cannot be read: {error.strerror}: put the encrypted deploy key there, or set source.key"
        ) from error
    try:
        derivation = Derivation(iterations=source.key_iterations, digest=source.key_digest)
        return decrypt_deploy_key(data, password, derivation)
    except (KeyFileInvalid, WrongPassword) as error:
        raise type(error)(f"{source.key}: {error}") from error


def generate(comment: str) -> tuple[bytes, bytes]:
    """Make an ed25519 key pair in OpenSSH's formats: (private key, public key line)."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return private, b" ".join(filter(None, (public, comment.encode()))) + b"\n"
