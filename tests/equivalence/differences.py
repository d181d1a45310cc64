"""Every difference between the plain shell and nodeagent that is permitted: the one list, each with its reason.

``spec`` is a phrase of docs/spec.md that grants it; a test holds that it stands there. A difference with ``name`` must
be claimed by the case that shows it (``differs: NAME PATH``), and must then be there; the others are taken out of what
is compared in every case.
"""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from tests.equivalence.root import Entry

Output = Callable[[list[str]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    reason: str
    spec: str
    name: str = ""
    output: Output | None = None
    """What both outputs are passed through before they are compared."""
    entries: Callable[[Entry | None, Entry | None], bool] | None = None
    """May a path be so with the plain shell and so with nodeagent?"""


def _without_rsync(lines: list[str]) -> list[str]:
    text = "".join(f"{line}\n" for line in lines)
    text = re.sub(r"^sending incremental file list\n(?:.*\n)*?total size is .*\n", "", text, flags=re.M)
    text = re.sub(r"^(?:created directory|rsync:|rsync error:|ERROR: destination must) .*\n", "", text, flags=re.M)
    return text.splitlines()


def _kept_directory(plain: Entry | None, ours: Entry | None) -> bool:
    return plain is not None and ours is not None and stat.S_ISDIR(plain[0]) and stat.S_ISDIR(ours[0])


PERMITTED = (
    Permitted(
        reason="a native COPY starts no rsync: each change, and each source that is missing, is a report of its own",
        spec="the verbose listing of `rsync -v`",
        output=_without_rsync,
    ),
    Permitted(
        name="kept-directory",
        reason="git records neither mode nor owner of a directory, so an existing one keeps its own",
        spec="`rsync -a DIR/ DST` sets mode, owner and time of an existing DST directory",
        entries=_kept_directory,
    ),
)


def comparable(lines: list[str]) -> list[str]:
    """An output without what may differ."""
    for permitted in PERMITTED:
        if permitted.output is not None:
            lines = permitted.output(lines)
    return lines


def granted(name: str) -> Permitted:
    return next(permitted for permitted in PERMITTED if permitted.name == name)
