"""A new deploy key on disk: the private key, its public half, and the encrypted file that goes to the nodes."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from nodeagent.errors import InvalidConfiguration

PASSWORD_BYTES = 24  # of randomness; more than a key file's cipher needs


WHERE_TO_PUT_IT = (
    ("GitHub", "the repository's Settings, Deploy keys, Add deploy key; leave Allow write access off"),
    ("GitLab", "the project's Settings, Repository, Deploy keys, Add new key; leave write permissions off"),
    ("Gitea, Forgejo", "the repository's Settings, Deploy Keys, Add Deploy Key; leave write access off"),
)
"""By git server: where its administrators enter the public half, to read only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """The three files of a deploy key, named as the guide names them."""

    private: Path
    public: Path
    encrypted: Path

    @classmethod
    def below(cls, directory: Path) -> "KeyFiles":
        return cls(private=directory / "key", public=directory / "key.pub", encrypted=directory / "key.enc")

    def write(self, *, private: bytes, public: bytes, encrypted: bytes) -> None:
        """Write all three or none; only their owner may read the private key and the encrypted one.

        Raises:
            InvalidConfiguration: one of them is there already, or the directory cannot be written.
        """
        written: list[Path] = []
        try:
            self.private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, content, mode in (
                (self.private, private, 0o600),
                (self.public, public, 0o644),
                (self.encrypted, encrypted, 0o600),
            ):
                _write_new(path, content, mode)
                written.append(path)
        except BaseException as error:
            for path in written:
                path.unlink()
            if isinstance(error, FileExistsError):
                raise InvalidConfiguration(
                    f"{error.filename}: is there already, and a key is never overwritten: choose another directory"
                ) from error
            if isinstance(error, OSError):
                raise InvalidConfiguration(f"{error.filename}: cannot be written: {error.strerror}") from error
            raise


def make_password() -> str:
    """A new password for a key file: one word of letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content)
    except BaseException:
        path.unlink()
        raise
