"""What becomes, in one evaluation, of the destinations that steps edit behind their verbs."""

from collections.abc import Callable

from nodeagent.ledger.editors import Editors
from nodeagent.model.destinations import Ruling, Treatment

Rule = Callable[[str, bool, bool], Ruling | None]
"""Asked with a path, whether its verbs want something else than the last time, and whether its content was edited."""


class Rulings:
    """Each is made when the first verb comes to the destination, and holds for the verbs behind it."""

    def __init__(self, editors: Editors, rule: Rule) -> None:
        self._editors = editors
        self._rule = rule
        self._made: dict[str, tuple[bool, Ruling | None]] = {}

    def ask(self, path: str, *, changed: bool, edited: bool) -> None:
        """A verb comes to a destination of :attr:`Editors.paths` that the last evaluation left there."""
        known = self._made.get(path)
        if known is not None and (known[1] is not None or known[0] >= changed):
            return
        self._made[path] = (changed, self._rule(path, changed, edited))

    def treatment(self, path: str) -> Treatment | None:
        """None: no step edits it, or it was not asked."""
        ruling = self._made.get(path, (False, None))[1]
        return ruling.treatment if ruling is not None else None

    def stands(self, path: str, *, changed: bool) -> Ruling | None:
        """Why the destination is to stay as it was left; None: its verbs are to see to it."""
        ruling = self._made.get(path, (False, None))[1]
        if ruling is None:
            return None
        stays = ruling.treatment is Treatment.HOLD or (changed and ruling.treatment is Treatment.LEAVE)
        return ruling if stays else None

    def begins_anew(self, path: str, *, full: bool) -> bool:
        """Whether the verbs put their own text first; where no step edits it, they do so in a full evaluation."""
        treatment = self.treatment(path)
        return full if treatment in {None, Treatment.DRESSED} else treatment is Treatment.ANEW

    def is_open(self, path: str) -> bool:
        """A step edits it, and it was not asked yet."""
        return path in self._editors.paths and path not in self._made
