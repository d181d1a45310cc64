"""The password as a systemd credential that only this machine can open (systemd-creds(1), systemd 250 and later).

An HTTPS server's password or token is kept in the same way.
"""

import enum
from collections.abc import Sequence
from pathlib import PurePosixPath

from nodeagent.enroll.placing import MARK, File

STORE = PurePosixPath("etc/credstore.encrypted")
DROP_INS = PurePosixPath("etc/systemd/system/nodeagent.service.d")


class SealedBy(enum.Enum):
    """What opens it; the value is systemd-creds' word."""

    AUTO = "auto"  # the TPM2 if there is one, and this system's own key if that outlives a reboot
    HOST = "host"
    TPM2 = "tpm2"
    BOTH = "host+tpm2"


def encryption(name: str, sealed_by: SealedBy) -> Sequence[str]:
    """The command that reads a password from its input and writes the credential to its output."""
    return ["systemd-creds", "encrypt", f"--name={name}", f"--with-key={sealed_by.value}", "-", "-"]


def files(name: str, encrypted: bytes) -> Sequence[File]:
    """The credential and its drop-in of the service (``password.conf``, ``login.conf``), relative to the root."""
    at = STORE / name
    drop_in = f"# {MARK} systemd`, which also replaces it.\n[Service]\nLoadCredentialEncrypted={name}:/{at}\n"
    return (
        File(path=at, content=encrypted, mode=0o600),
        File(
            path=DROP_INS / f"{name.removeprefix('nodeagent.')}.conf", content=drop_in.encode(), mode=0o644, marked=True
        ),
    )
