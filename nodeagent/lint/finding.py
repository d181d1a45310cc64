"""What lint says: one finding is one fault at one place."""

import enum
from dataclasses import dataclass


class Severity(enum.Enum):
    """An error is wrong on every node; a warning may be meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``line`` and ``column`` count from 1, columns in characters; ``file`` is relative to the repository.

    ``message`` says what stands there and why it matters on a running node, ``fix`` how to mend it. All texts are
    printable: whatever they quote from the repository has gone through :func:`shown`.
    """

    id: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    fix: str


_QUOTE_LIMIT = 80


def shown(text: str | bytes, limit: int = _QUOTE_LIMIT) -> str:
    """Text of the repository as it may stand in a message: one line, printable, not longer than ``limit``."""
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    line = " ".join(raw.decode(errors="backslashreplace").split())
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
