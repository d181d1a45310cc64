"""What a name means among the refs of a server: a branch, a tag, or a full commit id. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.errors import ReferenceNotFound
from nodeagent.source.foreign import one_line

FETCHED = "refs/nodeagent/fetched"
ASIDE = "refs/nodeagent/aside"  # what was fetched to be looked at only

_COMMIT = re.compile(r"[0-9a-f]{40}")
# A name that the server chose, and that goes into what it is asked: none with a meaning there (git check-ref-format).
_NAME = re.compile(r"refs/(heads|tags)/(?!.*(\.\.|//|@\{|\.lock|/\.))[^\x00-\x20~^:?*\[\\\x7f]+(\^\{\})?")
_PEELED = "^{}"  # behind a tag's name: what an annotated tag stands for
_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be fetched.

    ``name`` is the ref's full name; empty for a commit that no ref points to: any history may hold it. ``tag`` is the
    id of the annotated tag that the ref is; empty where it is none. ``shown`` is what messages say.
    """

    shown: str
    name: str
    commit: str  # hex
    tag: str = ""  # hex


def is_commit(ref: str) -> bool:
    """Whether a ref is a full commit id: it names one content for ever, and no server can move it."""
    return _COMMIT.fullmatch(ref) is not None


def find(url: str, heads: Mapping[str, str], ref: str) -> Target:
    """Find a ref among what a server lists (ids in hex, by full name). A branch goes before a tag of the same name.

    Raises:
        ReferenceNotFound: there is none.
    """
    if is_commit(ref):
        name = next((n for n, oid in heads.items() if oid == ref and _NAME.fullmatch(n)), "")
        return Target(shown=f"commit {ref}", name=name.removesuffix(_PEELED), commit=ref)
    for full, kind in ((ref, "ref"), (_BRANCHES + ref, "branch"), (_TAGS + ref, "tag")):
        if full in heads and full.startswith("refs/") and not full.endswith(_PEELED):
            commit = heads.get(full + _PEELED, "")
            return Target(
                shown=f"{kind} {ref}", name=full, commit=commit or heads[full], tag=heads[full] if commit else ""
            )
    if not heads:
        raise ReferenceNotFound(f"{url}: the repository is empty: push the branch {one_line(ref)}")
    there = f"branches: {_some(heads, _BRANCHES)}; tags: {_some(heads, _TAGS)}"
    raise ReferenceNotFound(
        f"{url}: there is no branch and no tag {one_line(ref)} ({there}): push it, or set source.ref to what is there"
    )


def _some(heads: Mapping[str, str], prefix: str) -> str:
    names = sorted(n.removeprefix(prefix) for n in heads if n.startswith(prefix) and not n.endswith(_PEELED))
    return f"{one_line(', '.join(names[:_MOST_SHOWN])) or 'none'}{', ...' if names[_MOST_SHOWN:] else ''}"
