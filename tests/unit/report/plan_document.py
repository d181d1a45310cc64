"""What ``nodeagent plan --json`` prints, as types: ``docs/plan.schema.json`` is made of them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Change(_Part):
    """A destination, with the statement that has the last word on it."""

    file: str
    line: int = Field(ge=0, description="of what no statement names any more, the one that it had")
    phase: Literal["COPY", "APPEND", "WRITE", "MERGE"]
    path: str
    change: Literal["created", "updated", "unchanged", "pruned", "failed"]
    reason: str
    detail: str
    diff: str = Field(default="", description="only with --diff")
    hidden: str = Field(default="", description="only with --diff: why there is none")


class Step(_Part):
    """An EXECUTE step that an apply would reach."""

    file: str
    line: int = Field(ge=1)
    phase: Literal["EXECUTE"]
    command: str
    would_run: bool
    reason: str
    times: int = Field(ge=1)
    exit_status: int | None = Field(default=None, description="only with --rehearse; null: it did not run")


class TreeChange(_Part):
    """A path that a rehearsal changed."""

    path: str
    difference: Literal["new", "changed", "removed", "attributes"]
    detail: str


class Plan(_Part):
    """nodeagent plan --json"""

    schema_: Literal[1] = Field(alias="schema")
    revision: str
    exit_status: int | None = Field(description="of post.sh; null: it would not run")
    finished: bool
    incomplete: str = Field(description="where post.sh hung; empty: nowhere")
    changes: list[Change]
    steps: list[Step]
    limits: list[str] = Field(description="what is not inside as on the node")
    tree: list[TreeChange] | None = Field(default=None, description="only with --rehearse")
