"""SSH keys of every kind, signatures that ssh-keygen makes with them, and what ssh-keygen says of a signature."""

import base64
import hashlib
import struct
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from cryptography.hazmat.primitives import hashes  # noqa: TID251 - a security key, in software
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils  # noqa: TID251 - as above
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: TID251 - as above

KINDS = {
    "ed25519": ("ed25519", "256"),
    "nistp256": ("ecdsa", "256"),
    "nistp384": ("ecdsa", "384"),
    "nistp521": ("ecdsa", "521"),
    "rsa2048": ("rsa", "2048"),
    "rsa3072": ("rsa", "3072"),
    "rsa1024": ("rsa", "1024"),
}
APPLICATION = b"ssh:"


def string(data):
    return struct.pack(">I", len(data)) + data


def mpint(number):
    data = number.to_bytes(number.bit_length() // 8 + 1)
    return string(data)


class Key:
    """A key pair; ``line`` is the public half as a file has it."""

    def __init__(self, directory, name):
        self.path = directory / name
        kind, bits = KINDS[name]
        run("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f", self.path)
        self.line = " ".join((directory / f"{name}.pub").read_text().split()[:2])

    def sign(self, payload, namespace="git", *options):
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self.path, *options]
        return subprocess.run(command, input=payload, check=True, capture_output=True).stdout


class SecurityKey:
    """What a FIDO token does (OpenSSH's PROTOCOL.u2f), without the token; ``flags`` 1: somebody touched it."""

    def __init__(self, kind):
        self.kind = kind
        if kind == "sk-ssh-ed25519@openssh.com":
            self._private = ed25519.Ed25519PrivateKey.generate()
            point = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            self.blob = string(kind.encode()) + string(point) + string(APPLICATION)
        else:
            self._private = ec.generate_private_key(ec.SECP256R1())
            point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            self.blob = b"".join(map(string, (kind.encode(), b"nistp256", point, APPLICATION)))
        self.line = f"{kind} {base64.b64encode(self.blob).decode()}"

    def sign(self, payload, namespace="git", flags=1):
        digest = hashlib.sha512(payload).digest()
        content = b"SSHSIG" + b"".join(map(string, (namespace.encode(), b"", b"sha512", digest)))
        told = struct.pack(">BI", flags, 7)
        data = hashlib.sha256(APPLICATION).digest() + told + hashlib.sha256(content).digest()
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            value = self._private.sign(data)
        else:
            value = b"".join(
                map(mpint, utils.decode_dss_signature(self._private.sign(data, ec.ECDSA(hashes.SHA256()))))
            )
        signature = string(self.kind.encode()) + string(value) + told
        fields = (self.blob, namespace.encode(), b"", b"sha512", signature)
        return armor(b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(string, fields)))


def armor(data):
    text = base64.b64encode(data)
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""])


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, **options)


class Oracle:
    """``ssh-keygen -Y verify``, as git calls it."""

    def __init__(self, directory):
        self._directory = directory

    def accepts(self, allowed, signature, payload, *, principal, moment, revoked=b""):
        for name, content in (("allowed", allowed), ("signature", signature), ("revoked", revoked)):
            (self._directory / name).write_bytes(content)
        command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-f", self._directory / "allowed", "-I", principal]
        command += ["-s", self._directory / "signature", f"-Overify-time={moment}"]
        if revoked:
            command += ["-r", self._directory / "revoked"]
        environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC"}
        return subprocess.run(command, input=payload, check=False, capture_output=True, env=environment).returncode == 0


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    found = {name: Key(directory, name) for name in KINDS}
    for kind in ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"):
        found[kind] = SecurityKey(kind)
    return found


@pytest.fixture(scope="session")
def oracle(tmp_path_factory):
    return Oracle(tmp_path_factory.mktemp("oracle"))
