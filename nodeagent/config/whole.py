"""The whole configuration."""

from typing import Any, Literal

from pydantic import Field, field_validator

from nodeagent.config.login import Login, ProxyLogin
from nodeagent.config.node import Jobs, Ledger, Limits, Paths, Ready
from nodeagent.config.password import Password
from nodeagent.config.source import Signatures, Source
from nodeagent.config.table import AbsolutePath, Table, said

FirstStart = Literal["auto", "apply", "observe"]
Drift = Literal["repair", "report"]
Prune = Literal["report", True, False]


class Config(Table):
    """The whole configuration. Times in seconds."""

    source: Source
    signatures: Signatures = Signatures()
    password: Password = Password()
    login: Login = Login()
    proxy_login: ProxyLogin = ProxyLogin()
    limits: Limits = Limits()
    jobs: Jobs = Jobs()
    paths: Paths = Paths()
    ledger: Ledger = Ledger()
    ready: Ready = Ready()
    interval: float = Field(default=300, ge=1, le=86_400, description="Seconds between two polls.")
    jitter: float = Field(default=0.05, ge=0, le=0.5, description="Share of the interval by which polls are spread.")
    retry_delay: float = Field(default=60, gt=0, le=3600, description="The longest wait between two tries of one poll.")
    mode: Literal["apply", "observe"] = said(
        "apply", "observe: the daemon only plans and reports, which is the way to roll out."
    )
    first_start: FirstStart = said(
        "auto", "What the first start does: auto observes on a node in use, and applies right after a boot."
    )
    args: tuple[str, ...] = Field(
        default=(), strict=False, description="The arguments of post.sh; ${hostname} may stand in them."
    )
    environment_file: AbsolutePath | None = said(None, "NAME=VALUE lines for post.sh.")
    step_timeout: float = Field(default=600, gt=0, description="Seconds that one program of post.sh may take.")
    evaluation_timeout: float = Field(default=7200, gt=0, description="Seconds that post.sh may take in all.")
    drift: dict[str, Drift] = said(
        {"/": "repair"},
        "What becomes of a destination that was changed: repair, or report. A table is by path, for what is below it. "
        "What is only reported is spared from repair evaluations; a full one (new tree, boot, --force) makes it right.",
    )
    prune: Prune = said("report", "What no step names any more: say so, remove it (true), or neither (false).")
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
