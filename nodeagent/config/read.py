"""Reading the configuration: one file, then the drop-ins beside it."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nodeagent.config.whole import Config
from nodeagent.errors import InvalidConfiguration

DEFAULT_FILE = Path("/etc/nodeagent/nodeagent.toml")


def load(path: Path = DEFAULT_FILE) -> Config:
    """Read the file and its ``.d`` directory.

    Raises:
        InvalidConfiguration: a file cannot be read or parsed, a key is unknown, a value is not allowed.
    """
    merged: dict[str, Any] = {}
    origin: dict[tuple[str, ...], Path] = {}
    drop_ins = path.with_name(path.name + ".d")
    files = [path]
    if drop_ins.is_dir():
        files += sorted(p for p in drop_ins.iterdir() if p.suffix == ".toml")
    for file in files:
        _merge(merged, _read(file), file, origin, ())
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        problems = [_explain(e, origin, path) for e in error.errors()]
        raise InvalidConfiguration("; ".join(problems)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        raise InvalidConfiguration(
            f'{file}: no such file: write it (at least [source] url = "ssh://..."), or name another with --config'
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{file}: not TOML: {error}") from error


def _merge(
    into: dict[str, Any], table: dict[str, Any], file: Path, origin: dict[tuple[str, ...], Path], at: tuple[str, ...]
) -> None:
    for key, value in table.items():
        here = (*at, key)
        origin[here] = file
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, file, origin, here)
        elif isinstance(value, dict):
            into[key] = {}
            _merge(into[key], value, file, origin, here)
        else:
            into[key] = value


def _explain(problem: Any, origin: dict[tuple[str, ...], Path], default: Path) -> str:
    """One pydantic error as ``FILE: KEY: what is wrong``."""
    location = tuple(str(part) for part in problem["loc"])
    file = next((origin[location[:n]] for n in range(len(location), 0, -1) if location[:n] in origin), default)
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        table: Any = Config
        for part in location[:-1]:
            table = table.model_fields[part].annotation
        return f"{file}: {key}: unknown key (known here: {', '.join(sorted(table.model_fields))})"
    if problem["type"] == "missing":
        return f"{file}: {key}: missing"
    if problem["type"] == "literal_error":
        return f"{file}: {key}: must be {problem['ctx']['expected']}"
    return f"{file}: {key}: {problem['msg'].removeprefix('Value error, ')}"
