"""``[password]``: what opens the key file."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from nodeagent.config.table import AbsolutePath, Table, said

CredentialName = Annotated[str, Field(pattern=r"^[^/]+$", max_length=255)]


class Password(Table):
    """Where the password of the key file comes from: the first of these that is there."""

    credential: CredentialName = said("nodeagent.password", "The name of the systemd credential.")
    file: AbsolutePath = said(
        Path("/run/nodeagent.password"), "Its first line, if there is no credential; root-only, on tmpfs."
    )
    command: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Program and arguments; the first line that it prints, if there is neither. It runs as root, with "
        "PATH, HOME and LC_ALL alone as its environment.",
    )
    timeout: float = Field(default=30, gt=0, le=300, description="Seconds that the command may take.")
