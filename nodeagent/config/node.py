"""The tables that say how nodeagent behaves on the node: jobs, limits, paths, ledger, ready."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from nodeagent.config.table import AbsolutePath, Table, said


class Jobs(Table):
    """How to find out whether somebody's job runs here; due steps wait for it."""

    probe: Literal["auto", "none", "command"] = said(
        "auto", "auto knows Slurm; none: no step ever waits; command: a scheduler of your own."
    )
    command: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Program and arguments. Exit code 0: the node is free, 1: busy, else: not known.",
    )
    timeout: float = Field(default=10, gt=0, le=60, description="Seconds; then it is not known.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.probe == "command") != bool(self.command):
            raise ValueError('probe = "command" and command = ["PROGRAM", "ARGUMENT"...] go together')
        return self


class Limits(Table):
    """What a revision may not exceed; checked before anything on the node is touched."""

    total_bytes: int = Field(
        default=2**30, gt=0, description="All its files and links together; a pack may be four times as large."
    )
    files: int = Field(default=100_000, gt=0, description="The number of its files.")
    file_bytes: int = Field(
        default=256 * 2**20, gt=0, description="Its largest file; a fetch gets the memory of three of them."
    )


class Paths(Table):
    """Where nodeagent keeps what it needs."""

    state: AbsolutePath = said(Path("/var/lib/nodeagent"), "The ledger, and what was replaced.")
    cache: AbsolutePath = said(Path("/var/cache/nodeagent"), "The fetch worker's store.")
    runtime: AbsolutePath = said(Path("/run/nodeagent"), "The status, the decrypted key; on tmpfs.")


class Ledger(Table):
    """What is remembered of the node."""

    keep_bytes: int = Field(default=64 * 2**20, ge=0, description="A larger file is not kept when it is replaced.")


class Ready(Table):
    """When a node counts as ready."""

    require: Literal["end", "all-steps"] = said(
        "end", "end: post.sh came to its end once since boot; all-steps: and no step failed."
    )
