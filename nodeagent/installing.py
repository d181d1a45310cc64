"""How a revision comes into the checkout: handed over by the fetch user, believed as far as hashes prove it."""

import functools
from typing import BinaryIO

from nodeagent import ancestry
from nodeagent.config import Config
from nodeagent.ledger import database, statements
from nodeagent.ledger.sources import Source
from nodeagent.model.evaluation import Revision
from nodeagent.model.events import Notice, Reporter
from nodeagent.source import bounds, poll, reach
from nodeagent.source.checkout import tree
from nodeagent.source.checkout.checkout import Checkout
from nodeagent.source.checkout.handover import receive
from nodeagent.source.checkout.sending import export
from nodeagent.source.confine import confine
from nodeagent.source.remote import refs
from nodeagent.source.trust.history import ANYTHING
from nodeagent.source.trust.signature import Approval
from nodeagent.workers.stream import stream

_INFO = 6  # syslog severity


class Installing:
    """The checkout of the configured source, and what the ledger knows of its commits."""

    def __init__(self, config: Config, source: Source, connection: database.Connection, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._source = source
        self._connection = connection

    @functools.cached_property
    def _checkout(self) -> Checkout:
        return Checkout(self._config.source.checkout, self._config.paths.state)

    def enforced(self) -> Revision:
        """What the node was given last; after a damage to the ledger, the checkout still knows it."""
        config, state = self._config, self._source.state()
        if state is None and self._source.is_rebuilt():
            self._remember_origin(self._checkout)
            effective = tree.of_items(self._checkout.items, config.ignore)
            return Revision(ref=config.source.ref, commit=self._checkout.commit, tree=effective)
        return Revision(ref=config.source.ref, commit=state.commit if state else "", tree=state.tree if state else "")

    def install(self, commit: str, *, descendant: bool) -> Revision:
        """Take a revision over from the fetch user's store into the checkout; believe only what hashes prove.

        Args:
            commit: its full id.
            descendant: whether it must descend from what the node was given before.

        Raises:
            NodeagentError: it is refused; the checkout is as it was.
        """
        from nodeagent.program import check  # noqa: PLC0415 - the grammar takes 30 ms to load

        config, checkout = self._config, self._checkout
        if checkout.commit != commit or not checkout.intact(checkout.tree):
            have, trees = checkout.have(), checkout.known()
            there = {*have, *trees.ids}
            bound = descendant and not refs.is_commit(config.source.ref)  # who names a commit has decided
            known = checkout.commit if self._source.state() or self._source.is_rebuilt() else ""
            standing = ANYTHING
            if bound:
                standing = ancestry.since(config, self._connection, self._source, known)

            approve = self._approval(commit)
            tagged = config.source.ref if approve else ""

            def send(out: BinaryIO) -> None:
                store = poll.store_path(config)
                bounds.bound(config.limits)
                confine(config.source.user, reach.exporting(store=store))
                export(store, commit, there, out, standing=standing, tagged=tagged)

            with checkout.staging() as staging:
                with stream(send, time_limit=config.source.fetch_limit) as received:
                    manifest = receive(
                        received, commit, config.limits, staging, have, known=trees, standing=standing, approve=approve
                    )
                tree.demand_contents(manifest, config.ignore)
                check(functools.partial(checkout.read, manifest, staging), manifest.items)
                checkout.install(manifest, staging)
        self._remember_origin(checkout)
        effective = tree.of_items(checkout.items, config.ignore)
        return Revision(ref=config.source.ref, commit=commit, tree=effective)

    def _approval(self, commit: str) -> Approval | None:
        """What demands a signature of a revision that is new; what the node has taken before is not judged again."""
        if not self._config.signatures.required or commit == self.enforced().commit:
            return None
        from nodeagent.source.trust.signers import Signers  # noqa: PLC0415 - few demand signatures

        def tell(text: str) -> None:
            self._reporter.report(Notice(priority=_INFO, text=text))

        return Signers.load(self._config).approval(self._config.source.ref, commit, tell)

    def is_fresh(self, commit: str) -> bool:
        """Whether the checkout holds the commit, as it was committed."""
        return self._checkout.commit == commit and self._checkout.intact(self._checkout.tree)

    def settle(self) -> None:
        """Take what the evaluation's own programs left of the checkout for untouched."""
        self._checkout.settle()

    def _remember_origin(self, checkout: Checkout) -> None:
        """Also of a commit that was installed before: the ledger may be younger than the checkout."""
        if checkout.origin is not None:
            statements.remember_commit(self._connection, checkout.commit, checkout.origin)
