"""What COPY need not look into, as nobody has touched it: true of most files of a tree, so asked first of each."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nodeagent.apply.attributes import Attributes
from nodeagent.apply.fingerprint import fingerprint
from nodeagent.apply.paths import Directory
from nodeagent.apply.tree import Source
from nodeagent.model.destinations import Destinations
from nodeagent.model.evaluation import Change, FileChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """The question of one COPY."""

    attributes: Attributes
    destinations: Destinations
    report: Callable[[FileChange], None]
    _asked: dict[tuple[str, int, int, int], tuple[int, int, int]] = field(default_factory=dict)

    def __call__(self, at: Directory, name: str, sources: Sequence[Source]) -> bool:
        """Whether nobody has touched a regular file or its destination since the last evaluation: then it is done.

        Two lstats answer it; neither file is opened.
        """
        source = sources[0].stat
        if len(sources) > 1 or not stat.S_ISREG(source.st_mode):
            return False
        try:
            there = os.lstat(name, dir_fd=at.fd)
        except OSError:
            return False
        look = at.path, source.st_mode, source.st_uid, source.st_gid
        if look not in self._asked:
            wanted = self.attributes.wanted(source, "", at=at)
            self._asked[look] = wanted.mode, wanted.uid, wanted.gid
        mode, uid, gid = self._asked[look]
        path = at.child(name)
        if not self.destinations.untouched(path, there, read=fingerprint(source), mode=mode, uid=uid, gid=gid):
            return False
        self.report(FileChange(path=path, change=Change.UNCHANGED))
        return True
