"""What the followed ref is at, and whether the node may move there; of several servers, one after the other."""

import contextlib
import enum
from dataclasses import dataclass
from pathlib import Path

from nodeagent.config import Config
from nodeagent.errors import NodeagentError, RevisionRejected, StoreUnusable
from nodeagent.model.events import Notice, Reporter
from nodeagent.source.remote import mirrors, refs
from nodeagent.source.remote.access import Access
from nodeagent.source.remote.mirrors import Servers
from nodeagent.source.store import git, objects
from nodeagent.source.trust import history
from nodeagent.source.trust.history import Standing

WARNING, INFO = 4, 6  # syslog severities


class Relation(enum.Enum):
    """How a server's commit stands to those from which the node may move on."""

    ONWARD = "is one of them, or descends from one"
    BEHIND = "is an ancestor"
    APART = "has another history since an ancestor of both, or altogether"
    UNKNOWN = "descends from none; whether one descends from it, the store does not reach back far enough to tell"


_TOLD = {
    Relation.BEHIND: "is behind what this node stands at",
    Relation.UNKNOWN: "is behind what this node stands at, or has another history: its own does not reach back so far",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Behind:
    """A server that is passed over, and what it is refused with if no other one is better."""

    relation: Relation
    refused: NodeagentError


class Follower:
    """Follows one ref into one store, on whichever server can be followed."""

    def __init__(self, config: Config, path: Path, way: Access, reporter: Reporter | None = None) -> None:
        """``path`` is the store's; ``reporter`` is told of servers that are passed over."""
        self._ref = config.source.ref
        self._signed = config.signatures.required
        self._path = path
        self._way = way
        self._reporter = reporter
        self._servers = Servers(config.source.urls, path.with_name("mirrors.json"))

    def look(self, standing: Standing) -> str:
        """One attempt: the ref's commit, which the store then holds.

        A server that is behind is passed over like one that fails, and no error as long as another one answers. Where
        no one is ahead and some cannot be asked, the node stays where it stands.

        Raises:
            NonFastForward, RevisionTooOld: a server has another history, or all are behind.
            NodeagentError: no server can be followed.
        """
        try:
            return self._follow(git.Store.open(self._path), standing)
        except StoreUnusable:
            git.Store.anew(self._path)  # the next attempt fetches all of it again
            raise

    def bring(self, store: git.Store, ref: str, *, whole: bool) -> tuple[git.Store, refs.Target]:
        """Fetch a ref from the first server that has it, beside the followed one; the store that holds it then.

        Raises:
            NodeagentError: no server can be followed, or none has it.
        """
        failures: dict[str, NodeagentError] = {}
        for url in self._servers.order():
            try:
                with self._servers.asked(url):
                    store, target = self._bring(url, store, ref, whole=whole, aside=True)
                self._remember(store, ref, target)
                return store, target
            except StoreUnusable:
                raise
            except NodeagentError as error:
                failures[url] = error
        raise mirrors.none_left(failures)

    def _follow(self, store: git.Store, standing: Standing) -> str:
        olds = standing.commits
        if olds and not store.has(olds[0]) and not store.is_whole:
            store = git.Store.anew(store.path)  # only a whole history can tell whether the branch moved on from there
        if refs.is_commit(self._ref) and store.has(self._ref):
            return self._ref  # there is nothing to ask
        failures: dict[str, NodeagentError] = {}
        behind: dict[str, _Behind] = {}
        for url in self._servers.order():
            try:
                with self._servers.asked(url):
                    store, target = self._bring(url, store, self._ref, whole=bool(olds) or not store.is_empty)
                relation = self._relation(store, target.commit, standing)
                if relation is Relation.ONWARD:
                    self._demand_young(store, target.commit, standing)
                    self._remember(store, self._ref, target)
                    self._pass_over(failures, behind, url)
                    return self._settle(store, target.commit, standing)
                refused = self._refusal(url, store, target, standing)
            except StoreUnusable:
                raise
            except NodeagentError as error:
                failures[url] = error
                continue
            if relation is Relation.APART:
                raise refused  # which of them is right, only a person can tell
            behind[url] = _Behind(relation=relation, refused=refused)
        if behind and not failures:
            raise next(iter(behind.values())).refused
        if behind and not standing.configured and store.has(olds[0]):
            self._pass_over(failures, behind, "")
            return olds[0]
        raise mirrors.none_left({**failures, **{url: passed.refused for url, passed in behind.items()}})

    def _bring(
        self, url: str, store: git.Store, ref: str, *, whole: bool, aside: bool = False
    ) -> tuple[git.Store, refs.Target]:
        """Ask a server for a ref, and fetch it if the store lacks its commit; the store that has it then."""
        remote = store.remote(url, self._way)
        target = remote.find(ref)
        signed = target.tag if self._signed else ""  # then the tag has to be handed over, too
        if not store.has(target.commit) or (signed and not store.has(signed)):
            if not target.name and not store.is_whole:  # somewhere in the history, of which no second half is sent
                store = git.Store.anew(store.path)
                remote = store.remote(url, self._way)
            remote.fetch(target, whole=whole, aside=aside)
        return store, target

    def _remember(self, store: git.Store, ref: str, target: refs.Target) -> None:
        if self._signed:
            store.remember_tag(ref, target.tag)

    def _relation(self, store: git.Store, new: str, standing: Standing) -> Relation:
        olds = standing.commits
        if not olds or refs.is_commit(self._ref) or any(store.is_ancestor(old, new) for old in olds):
            return Relation.ONWARD
        if not self._servers.several:
            return Relation.APART  # nobody else is to be asked: it is refused in any case
        if any(store.is_ancestor(new, old) for old in olds):
            return Relation.BEHIND
        return Relation.APART if store.has(olds[0]) and store.has_all_after(new) else Relation.UNKNOWN

    def _refusal(self, url: str, store: git.Store, target: refs.Target, standing: Standing) -> NodeagentError:
        authored = objects.commit_origin(store.read(target.commit)).authored
        return history.refusal(f"{url}: {target.shown}", target.commit, authored, standing)

    def _demand_young(self, store: git.Store, commit: str, standing: Standing) -> None:
        if standing.earliest:
            with contextlib.suppress(objects.MalformedError):  # the root side finds it too, and says so
                history.demand_young(commit, objects.commit_date(store.read(commit)), standing)

    def _settle(self, store: git.Store, commit: str, standing: Standing) -> str:
        if commit in standing.commits[:1]:  # the node stands there: nobody needs what was before
            with contextlib.suppress(StoreUnusable, RevisionRejected):  # no room for both: the large one serves as well
                store.keep_small(commit)
        return commit

    def _pass_over(self, failures: dict[str, NodeagentError], behind: dict[str, "_Behind"], used: str) -> None:
        """Ask others before these for a while, and say why."""
        self._servers.set_aside([*failures, *behind])
        if self._reporter is None:
            return
        instead = f"followed instead: {used}" if used else "the node stays where it stands"
        for url, error in failures.items():
            text = f"{mirrors.named(url, error)}; {instead}"
            self._reporter.report(Notice(priority=WARNING, code=error.code, text=text))
        for url, passed in behind.items():
            text = f"{url}: {_TOLD[passed.relation]}; {instead}"
            self._reporter.report(Notice(priority=INFO, text=text))
