"""Configuration: ``/etc/nodeagent/nodeagent.toml``, then ``nodeagent.toml.d/*.toml`` in the order of their names.

Every key but ``source.url`` has a default. An unknown key or a bad value raises
:class:`~nodeagent.errors.InvalidConfiguration`, naming the file, the key and what is allowed.
"""

import datetime
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nodeagent.errors import InvalidConfiguration

DEFAULT_FILE = Path("/etc/nodeagent/nodeagent.toml")

_COMMIT = re.compile(r"[0-9a-f]{40}")

AbsolutePath = Annotated[Path, Field(strict=False)]
FirstStart = Literal["auto", "apply", "observe"]
Drift = Literal["repair", "report"]
Prune = Literal["report", True, False]


def _said(default: Any, description: str) -> Any:
    """A key with its default; nodeagent.toml(5) is made of these descriptions."""
    return Field(default=default, description=description)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, Path) and not value.is_absolute():
            raise ValueError("the path must be absolute")
        return value


class Source(_Table):
    """Where the wanted state comes from."""

    url: str = Field(min_length=1, description="The repository: ssh://USER@HOST[:PORT]/PATH or USER@HOST:PATH.")
    ref: str = Field(
        default="main", min_length=1, description="The branch, tag or full commit id that this node follows."
    )
    not_before: str = _said(
        "",
        "A date (2026-01-31, or with a time; UTC without a zone) before which no revision was committed, or a full "
        "commit id from which the first one that a node takes must descend. For nodes that forget at a reboot.",
    )
    key: AbsolutePath = _said(Path("/etc/nodeagent/key.enc"), "The encrypted deploy key.")
    known_hosts: AbsolutePath = _said(
        Path("/etc/nodeagent/known_hosts"),
        "The host keys of the git server, as ssh-keyscan prints them; any other is refused.",
    )
    checkout: AbsolutePath = _said(Path("/configs"), "Where post.sh finds the repository's files.")
    user: str = _said("nodeagent", "The fetch worker runs as this user.")
    connect_timeout: float = Field(default=10, gt=0, le=600, description="Seconds until the server must have answered.")
    timeout: float = Field(default=30, gt=0, le=3600, description="Seconds without a byte from the server.")
    fetch_limit: float = Field(default=600, gt=0, description="Seconds; then the fetch worker is killed.")

    @field_validator("url")
    @classmethod
    def _ssh(cls, value: str) -> str:
        scp_like = "://" not in value and ":" in value.split("/", 1)[0]
        if not (value.startswith("ssh://") or scp_like):
            raise ValueError("an SSH address is needed: ssh://USER@HOST[:PORT]/PATH or USER@HOST:PATH")
        return value

    @field_validator("not_before", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        text = value.isoformat() if isinstance(value, datetime.date) else value
        if isinstance(text, str) and text and not _COMMIT.fullmatch(text):
            try:
                datetime.datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError("a date such as 2026-01-31 or a full commit id is needed") from error
        return text

    @property
    def earliest(self) -> int:
        """The date of ``not_before``, in seconds since the epoch; 0 without one."""
        if not self.not_before or self.first_commit:
            return 0
        found = datetime.datetime.fromisoformat(self.not_before)
        return int((found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp())

    @property
    def first_commit(self) -> str:
        """The commit of ``not_before``, or empty."""
        return self.not_before if _COMMIT.fullmatch(self.not_before) else ""

    @field_validator("ref")
    @classmethod
    def _name(cls, value: str) -> str:
        if value.startswith("-") or any(c in value for c in " ~^:?*[\\\x7f") or ".." in value:
            raise ValueError("a branch, a tag or a full commit id is needed, such as main")
        return value


class Password(_Table):
    """Where the password of the key file comes from; the systemd credential goes first."""

    credential: str = _said("nodeagent.password", "The name of the systemd credential.")
    file: AbsolutePath = _said(
        Path("/run/nodeagent.password"), "Its first line, if there is no credential; root-only, on tmpfs."
    )


class Jobs(_Table):
    """How to find out whether somebody's job runs here; due steps wait for it."""

    probe: Literal["auto", "none", "command"] = _said(
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


class Limits(_Table):
    """What a revision may not exceed; checked before anything on the node is touched."""

    total_bytes: int = Field(default=2**30, gt=0, description="All its files together.")
    files: int = Field(default=100_000, gt=0, description="The number of its files.")
    file_bytes: int = Field(default=256 * 2**20, gt=0, description="Its largest file.")


class Paths(_Table):
    """Where nodeagent keeps what it needs."""

    state: AbsolutePath = _said(Path("/var/lib/nodeagent"), "The ledger, and what was replaced.")
    cache: AbsolutePath = _said(Path("/var/cache/nodeagent"), "The fetch worker's store.")
    runtime: AbsolutePath = _said(Path("/run/nodeagent"), "The status, the decrypted key; on tmpfs.")


class Ledger(_Table):
    """What is remembered of the node."""

    keep_bytes: int = Field(default=64 * 2**20, ge=0, description="A larger file is not kept when it is replaced.")


class Ready(_Table):
    """When a node counts as ready."""

    require: Literal["end", "all-steps"] = _said(
        "end", "end: post.sh came to its end once since boot; all-steps: and no step failed."
    )


class Config(_Table):
    """The whole configuration. Times in seconds."""

    source: Source
    password: Password = Password()
    limits: Limits = Limits()
    jobs: Jobs = Jobs()
    paths: Paths = Paths()
    ledger: Ledger = Ledger()
    ready: Ready = Ready()
    interval: float = Field(default=300, ge=1, le=86_400, description="Seconds between two polls.")
    jitter: float = Field(default=0.05, ge=0, le=0.5, description="Share of the interval by which polls are spread.")
    retry_delay: float = Field(default=60, gt=0, le=3600, description="The longest wait between two tries of one poll.")
    mode: Literal["apply", "observe"] = _said(
        "apply", "observe: the daemon only plans and reports, which is the way to roll out."
    )
    first_start: FirstStart = _said(
        "auto", "What the first start does: auto observes on a node in use, and applies right after a boot."
    )
    args: tuple[str, ...] = Field(
        default=(), strict=False, description="The arguments of post.sh; ${hostname} may stand in them."
    )
    environment_file: AbsolutePath | None = _said(None, "NAME=VALUE lines for post.sh.")
    step_timeout: float = Field(default=600, gt=0, description="Seconds that one program of post.sh may take.")
    evaluation_timeout: float = Field(default=7200, gt=0, description="Seconds that post.sh may take in all.")
    drift: dict[str, Drift] = _said(
        {"/": "repair"},
        "What becomes of a destination that was changed: repair, or report. A table is by path, for what is below it. "
        "What is only reported is spared from repair evaluations; a full one (new tree, boot, --force) makes it right.",
    )
    prune: Prune = _said("report", "What no step names any more: say so, remove it (true), or neither (false).")
    ignore: tuple[str, ...] = Field(
        default=(), strict=False, description="Globs of paths in the repository whose change is no new tree."
    )

    @field_validator("drift", mode="before")
    @classmethod
    def _everywhere(cls, value: Any) -> Any:
        return {"/": value} if isinstance(value, str) else value

    @field_validator("drift")
    @classmethod
    def _by_path(cls, value: dict[str, Drift]) -> dict[str, Drift]:
        if any(not top.startswith("/") for top in value):
            raise ValueError("each path must be absolute")
        return value


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
