"""A revision on its way from the server into the checkout: fetched, exported and received in three processes."""

import os
import stat
from pathlib import Path

import pytest

from nodeagent.config import Limits
from nodeagent.errors import NonFastForward
from nodeagent.source import reach
from nodeagent.source.checkout import handover, sending
from nodeagent.source.checkout.checkout import Checkout
from nodeagent.source.confine import confine
from nodeagent.source.poll import store_path
from nodeagent.source.trust.history import Standing

PLAN = {
    "post.sh": "#!/bin/sh\necho done\n",
    "files/motd": "welcome\n",
    "files/etc/empty": "",
    "files/bytes": bytes(range(256)) * 1000,
    "postscripts/mount": "#!/bin/sh\nmount -a\n",
    "README.md": "text\n",
}


@pytest.fixture
def node(site):
    return Node(site)


class Node:
    """The node's side: what the apply worker does with a revision that a poll has fetched."""

    def __init__(self, site):
        self.site = site
        self.config = site.config()
        self.checkout = Checkout(self.config.source.checkout, self.config.paths.state)

    def take(self, commit, ancestor=""):
        """Install a revision that an unprivileged child exports; the changed paths, and how many bytes went over."""
        have, known = self.checkout.have(), self.checkout.known()
        standing = Standing(commits=(ancestor,) if ancestor else ())
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                store = store_path(self.config)
                confine(self.config.source.user, reach.exporting(store=store))
                with open(write, "wb") as stream:
                    sending.export(store, commit, {*have, *known.ids}, stream, standing=standing)
            finally:
                os._exit(0)
        os.close(write)
        try:
            with open(read, "rb") as stream, self.checkout.staging() as staging:
                manifest = handover.receive(stream, commit, Limits(), staging, have, known=known, standing=standing)
                return self.checkout.install(manifest, staging)
        finally:
            os.waitpid(pid, 0)


def listing(top):
    """Every path below a directory with its type, execute bit and content."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        mode = path.lstat().st_mode
        content = os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
        found[str(path.relative_to(top))] = (stat.S_IFMT(mode), mode & 0o100, content)
    return found


def test_the_checkout_is_what_a_clone_has_commit_after_commit(site, node):
    (site.repository.work / "files/link").parent.mkdir()
    (site.repository.work / "files/link").symlink_to("/etc/motd")
    site.repository.git("config", "core.quotepath", "false")
    current = ""
    changes = [
        PLAN,
        {"files/motd": "changed\n", "files/new/deep": "x", "README.md": None},
        {"post.sh": "no longer executable\n", "files/etc/empty": None, "files/\u00e4": "named"},
        {"files/bytes": None, "files/etc": "a file where a directory was"},
        {"files/new/deep": None, "files/new": "likewise"},
    ]
    for number, files in enumerate(changes):
        commit = site.repository.commit(files)
        outcome, _ = site.poll(current=current)
        assert (outcome.commit, outcome.failure) == (commit, None)

        node.take(commit, ancestor=current)

        clone = site.repository.clone(site.directory / f"clone{number}")
        assert listing(node.config.source.checkout) == listing(clone)
        assert node.checkout.intact(site.repository.git("rev-parse", "HEAD^{tree}"))
        assert node.checkout.commit == commit
        current = commit


def test_only_what_changed_is_written(site, node):
    first = site.repository.commit(PLAN)
    site.poll()
    node.take(first)
    second = site.repository.commit({"files/motd": "changed\n"})
    site.poll(current=first)

    assert node.take(second, ancestor=first) == ["files/motd"]


def test_a_commit_that_the_fetch_worker_must_not_have_accepted_is_refused_by_the_second_look(site, node):
    site.repository.commit(PLAN)
    first = site.repository.commit({"files/motd": "two"})
    site.poll()
    node.take(first)
    site.repository.git("reset", "-q", "--hard", "HEAD~1")
    forced = site.repository.commit({"files/motd": "other"})
    site.poll(current=first)  # is refused, and the store holds it all the same

    with pytest.raises(NonFastForward):
        node.take(forced, ancestor=first)

    assert node.checkout.commit == first
    assert (node.config.source.checkout / "files/motd").read_text() == "two"


def test_root_owns_the_checkout_and_nobody_else_may_enter(site, node):
    commit = site.repository.commit(PLAN)
    site.poll()
    node.take(commit)

    top = node.config.source.checkout
    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    for path in (top, *top.rglob("*")):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (0, 0)
