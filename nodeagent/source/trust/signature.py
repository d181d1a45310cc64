"""Who has signed a revision. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass

Approval = Callable[[bytes, bytes], None]
"""Raises, if a commit (whose id was proven) is not to be taken; the second is the tag by which it came, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """``signer`` is a principal or a user ID; ``kind`` the key's type; ``fingerprint`` as its own tools print it."""

    signer: str
    kind: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.signer} ({self.kind} {self.fingerprint})"
