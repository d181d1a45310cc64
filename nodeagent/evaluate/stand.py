"""How the shell stands at a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How the shell stands at a request.

    ``resolved``: what ``command -v`` prints for the names it is about. ``texts``: the numbers of the texts that the
    shell which asks is in the middle of, the outermost first. What a subshell was ended in is not among them.
    """

    cwd: str
    umask: int
    resolved: str
    texts: tuple[int, ...] = ()

    @property
    def in_shell(self) -> bool:
        """Is one of the names a function or a built-in?"""
        return any("/" not in line for line in self.resolved.splitlines())
