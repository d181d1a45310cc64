"""How the shell stands at a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How the shell stands at a request. ``resolved``: what ``command -v`` prints for the names it is about."""

    cwd: str
    umask: int
    resolved: str

    @property
    def in_shell(self) -> bool:
        """Is one of the names a function or a built-in?"""
        return any("/" not in line for line in self.resolved.splitlines())
