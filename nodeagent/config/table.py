"""What every table of the configuration is made of."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

AbsolutePath = Annotated[Path, Field(strict=False)]


def said(default: Any, description: str) -> Any:
    """A key with its default; nodeagent.toml(5) is made of these descriptions."""
    return Field(default=default, description=description)


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, Path) and not value.is_absolute():
            raise ValueError("the path must be absolute")
        return value
