"""What ``nodeagent lint --format json`` prints, as types: ``docs/lint.schema.json`` is made of them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Finding(_Part):
    """One fault at one place."""

    id: str = Field(pattern="^[a-z]+(-[a-z]+)*$", description="of the rule, as in docs/lint.md")
    severity: Literal["error", "warning"]
    file: str = Field(description="relative to the directory that was read")
    line: int = Field(ge=1)
    column: int = Field(ge=1, description="in characters")
    message: str = Field(description="what stands there, and why it matters on a running node")
    fix: str = Field(description="how to mend it")


class Findings(_Part):
    """nodeagent lint --format json"""

    schema_: Literal[1] = Field(alias="schema")
    findings: list[Finding] = Field(description="post.sh's first, then by file and line")
