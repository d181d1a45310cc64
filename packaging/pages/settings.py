"""``nodeagent.toml(5)``, and a ``nodeagent.toml`` that has every key in a comment: both from the model's own words."""

import json
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pages.roff import bold, heading, item, text, title, verbatim

_EXAMPLE = """[source]
url = "ssh://git@git.cluster.example/site/compute-configs.git"
"""
_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "absolute path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key; ``default`` is TOML, empty where there is none."""

    name: str
    kind: str
    default: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the file; the name of the top level is empty."""

    name: str
    description: str
    settings: tuple[Setting, ...]


def tables(model: type[BaseModel], name: str = "") -> Iterator[Table]:
    """The model's own keys first, as TOML wants it, then a table for each model in it."""
    inner = {key: field for key, field in model.model_fields.items() if _is_table(field.annotation)}
    own = {key: field for key, field in model.model_fields.items() if key not in inner}
    settings = tuple(_setting(key, field) for key, field in own.items())
    yield Table(name=name, description=" ".join((model.__doc__ or "").split()), settings=settings)
    for key, field in inner.items():
        assert isinstance(field.annotation, type)
        yield from tables(field.annotation, key)


def page(model: type[BaseModel], *, date: str, version: str) -> str:
    """The man page of the configuration."""
    lines = [
        title("nodeagent.toml", 5, date, f"nodeagent {version}"),
        heading("NAME"),
        "nodeagent.toml \\- configuration of nodeagent",
        heading("DESCRIPTION"),
        text(
            "/etc/nodeagent/nodeagent.toml is read first, then the files of /etc/nodeagent/nodeagent.toml.d whose "
            "names end in .toml, in the order of their names; a later value replaces an earlier one. All keys but "
            "source.url have a default. A key that is not known, or a value that is not allowed, is an error that "
            "names file and key."
        ),
        ".PP",
        "The format is TOML.",
        f"{bold('nodeagent check-config')} reads the files as the daemon does.",
    ]
    for table in tables(model):
        lines += [heading(f"[{table.name}]" if table.name else "TOP LEVEL"), text(table.description)]
        for setting in table.settings:
            body = text(f"{setting.description} {setting.kind[:1].upper()}{setting.kind[1:]}{_default(setting)}.")
            lines.append(item(bold(setting.name), body))
    lines += [heading("EXAMPLE"), verbatim(_EXAMPLE.rstrip()), heading("SEE ALSO"), f"{bold('nodeagent')}(8)"]
    return "\n".join(lines) + "\n"


def commented(model: type[BaseModel]) -> str:
    """A configuration in which every key stands, with its default, in a comment: it sets nothing."""
    lines = ["# Configuration of nodeagent: see nodeagent.toml(5). The one key that has to be set is source.url.", ""]
    for table in tables(model):
        lines += [f"# [{table.name}]: {table.description}" if table.name else f"# {table.description}"]
        lines += [f"#[{table.name}]"] if table.name else []
        for setting in table.settings:
            lines += textwrap.wrap(setting.description, 116, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{setting.name} = {setting.default}".rstrip())
        lines.append("")
    return "\n".join(lines)


def _default(setting: Setting) -> str:
    if setting.required:
        return "; it has to be set"
    return f"; default: {setting.default}" if setting.default else ""


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _setting(name: str, field: FieldInfo) -> Setting:
    return Setting(
        name=name,
        kind=_kind(field.annotation),
        default="" if field.is_required() else _toml(field.default),
        required=field.is_required(),
        description=field.description or "",
    )


def _kind(annotation: Any) -> str:
    """What a value may be, in words."""
    origin, of = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(of[0])
    if origin is Literal:
        return " or ".join(_toml(value) for value in of)
    if origin in {Union, types.UnionType}:
        return " or ".join(_kind(part) for part in of if part is not type(None))
    if origin is tuple:
        return f"list of {_kind(of[0])}"
    if origin is dict:
        return f"{_kind(of[1])}, or a table of these"
    return _KINDS[annotation]


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(of)}" for key, of in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
