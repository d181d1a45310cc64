"""The proof that a commit descends from another one: the commits in between, out of the store."""

from collections import deque
from collections.abc import Sequence

from nodeagent.source.store import git, objects
from nodeagent.source.trust.history import Standing, refusal


def descent(store: git.Store, commit: str, standing: Standing) -> Sequence[str]:
    """The commits of a shortest way from the commit back to where the node stands, both included.

    Raises:
        StalledError: it descends from none of what the node may move on from.
        StoreUnusable: a commit cannot be read.
    """
    if not standing.commits:
        return [commit]
    child = {commit: ""}
    queue = deque([commit])
    found = commit if commit in standing.commits else ""
    while queue and not found:
        at = queue.popleft()
        for parent in objects.commit_parents(store.read(at)):
            if parent not in child and store.has(parent):  # what lies beyond the border of a shallow store is not there
                child[parent] = at
                queue.append(parent)
                found = found or (parent if parent in standing.commits else "")
    if not found:
        authored = objects.commit_origin(store.read(commit)).authored
        raise refusal("what the node follows", commit, authored, standing)
    way = [found]
    while way[-1] != commit:
        way.append(child[way[-1]])
    return way[::-1]
