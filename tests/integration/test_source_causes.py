"""Each cause of docs/source.md, "When it fails", brought about by the real thing."""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest

from nodeagent.errors import KeyFileInvalid, TransientError
from nodeagent.model.outcomes import Failure, PollOutcome
from nodeagent.source import libgit2
from nodeagent.source.poll import home_path, poll, store_path
from nodeagent.source.remote.access import Access
from nodeagent.source.remote.translate import CAUSES
from nodeagent.source.store import git
from nodeagent.source.trust.history import ANYTHING
from nodeagent.workers import worker
from testbed import packs
from testbed.loopback import raise_loopback
from testbed.programs import wait_until
from testbed.proxy import End, Fault, Proxy
from testbed.webserver import WebServer

PLAN = {"post.sh": "#!/bin/sh\n", "files/image": os.urandom(100_000)}
SCRIPT = b"#!/bin/sh\n"
CLONE_NEWNET = 0x40000000  # linux/sched.h


def alone_on_the_network():
    """Leave the machine's network for one that has loopback and nothing else."""
    assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
    raise_loopback()


def unusable_key(site):
    """One that the look at the key file lets pass, and libssh2 does not."""
    site.poll()  # makes what the connection needs
    way = Access(key=b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")

    def ask():
        libgit2.configure(home_path(site.config()), 5, 5)
        git.Store.open(site.directory / "other.git").remote(site.url, way).find("main")

    with pytest.raises(KeyFileInvalid) as raised:
        site.in_child(ask)
    failure = Failure(code="KeyFileInvalid", message=str(raised.value), transient=False)
    return PollOutcome(commit="", moved=False, failure=failure), []


def no_repository(site):
    return site.poll(site.config(source={"url": f"{site.url}.moved"}))


def served(site, command, **source):
    site.server.authorize(site.key.with_suffix(".pub"), command)
    return site.poll(site.config(source={"timeout": 5.0, **source}))


def no_git(site):
    return served(site, "PATH=/nonexistent; git-upload-pack x")


def not_git(site):
    return served(site, "echo 'Welcome to the cluster'")


def status(site, code):
    with WebServer(site.repository.bare.parent, None) as server:
        server.status = code
        return site.poll(site.config(source={"url": server.url("repository.git")}))


def elsewhere(site):
    with WebServer(site.repository.bare.parent, None) as server:
        server.location = server.url("", host="localhost").rstrip("/")
        return site.poll(site.config(source={"url": server.url("repository.git")}))


def sshd_with(site, *settings):
    site.server.stop()
    file = site.server.directory / "sshd_config"
    names = {setting.split()[0] for setting in settings}
    kept = [line for line in file.read_text().splitlines() if not names & set(line.split()[:1])]
    file.write_text("\n".join([*settings, *kept]))
    site.server.start()


def no_more_tries(site):
    sshd_with(site, "MaxAuthTries 1", "DenyUsers root")
    return site.poll(site.config())


def too_many_at_a_time(site):
    sshd_with(site, "MaxStartups 1")
    callers = []

    def is_in():
        callers.append(socket.create_connection(("127.0.0.1", site.server.port)))
        return callers[-1].recv(8).startswith(b"SSH-")  # else the one that looked whether it listens still counts

    try:
        wait_until("somebody is logging in", is_in)
        return site.poll(site.config())
    finally:
        for caller in callers:
            caller.close()


def no_such_host(site):
    return site.poll(site.config(source={"url": "ssh://root@nohost.invalid/repository.git"}))


def nobody_listens(site):
    site.server.stop()
    return site.poll(site.config())


def full_backlog(site):
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # what the kernel keeps beyond the backlog; it drops what comes then
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(busy.getsockname())
        url = f"ssh://root@127.0.0.1:{busy.getsockname()[1]}/repository.git"
        return site.poll(site.config(source={"url": url, "connect_timeout": 0.5}))


def cut(site):
    with Proxy(site.server.port, Fault(after=20_000, end=End.RESET)) as proxy:
        known = site.known_hosts.read_text()
        site.known_hosts.write_text(known.replace(str(site.server.port), str(proxy.port)))
        return site.poll(site.config(source={"url": f"ssh://root@127.0.0.1:{proxy.port}{site.repository.bare}"}))


def sends(site, change):
    tree = packs.tree((b"100644", b"post.sh", packs.oid(packs.BLOB, SCRIPT)))
    made = packs.commit(packs.oid(packs.TREE, tree))
    objects = [(packs.COMMIT, made), (packs.TREE, tree), (packs.BLOB, SCRIPT)]
    data, names = site.directory / "pack", site.directory / "refs"
    data.write_bytes(change(packs.pack(packs.entry(*each) for each in objects)))
    names.write_bytes(packs.oid(packs.COMMIT, made).hex().encode() + b" refs/heads/main\n")
    return served(site, packs.command(data, names))


def ends_early(site):
    return sends(site, lambda pack: pack[:-30])


def damaged(site):
    return sends(site, lambda pack: pack[:-1] + bytes([pack[-1] ^ 1]))


def damaged_on_top(site):
    """What is there is thrown away, and the server asked again, which is then to blame."""
    site.poll()
    outcome, events = damaged(site)
    assert outcome.failure is not None
    assert outcome.failure.code == "RepositoryDamaged"
    return None, events


def too_large(site):
    return site.poll(site.config(limits={"total_bytes": 20_000}))


def disk_full(site):
    cache = site.memory / "small"
    cache.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k,mode=755", "tmpfs", cache], check=True)
    try:
        return site.poll(site.config(paths={"cache": cache}))
    finally:
        subprocess.run(["umount", cache], check=True)


def told(site, found):
    """The message of a poll that failed."""
    outcome, events = found
    if outcome is None:
        (message,) = {event.text for event in events if event.code == "StoreUnusable"}
        return message, "StoreUnusable", True
    assert outcome.failure is not None
    assert not outcome.moved
    return outcome.failure.message, outcome.failure.code, outcome.failure.transient


REAL = [
    ("the deploy key in the key file cannot be used", unusable_key),
    ("the server has no such repository, or hides it from this key", no_repository),
    ("the server has no such repository, or hides it from this key", lambda site: status(site, 404)),
    ("the server finds no git", no_git),
    ("the server refuses access", lambda site: status(site, 403)),
    ("the server sends the node elsewhere", elsewhere),
    ("the connection ended during the login", no_more_tries),
    ("the host's name cannot be resolved", no_such_host),
    ("the server cannot be reached", nobody_listens),
    ("the server does not answer in time", full_backlog),
    ("the server ends the connection at once", too_many_at_a_time),
    ("the server has trouble of its own", lambda site: status(site, 500)),
    ("the server has trouble of its own", lambda site: status(site, 429)),
    ("the answer is not git's", not_git),
    ("the connection broke off in the middle", ends_early),
    ("what the server sends takes more room than [limits] allows", too_large),
    ("what was fetched cannot be stored", disk_full),
    ("what the server sends is damaged", damaged),
    ("what was fetched does not fit what is there", damaged_on_top),
    ("the fetch failed", cut),
]


def test_every_cause_of_the_table_is_brought_about():
    assert {what for what, _ in REAL} == {cause.what.replace("`", "") for cause in CAUSES}


@pytest.mark.parametrize(("what", "bring"), REAL, ids=[f"{n}" for n, _ in enumerate(REAL)])
def test_a_cause_is_told_by_its_row(site, what, bring):
    site.repository.commit(PLAN)

    message, code, transient = told(site, bring(site))

    cause = next(cause for cause in CAUSES if cause.what.replace("`", "") == what)
    assert (code, transient) == (cause.error.code, issubclass(cause.error, TransientError)), message
    if code != "AuthenticationFailed":  # the transport says more
        assert what in message
        assert cause.mend.replace("`", "") in message
    assert message.isprintable()


def in_a_network_of_its_own(site, body):
    """Run it in a child, with the site's server beside it."""

    def run():
        alone_on_the_network()
        site.server.start()
        try:
            return body()
        finally:
            site.server.stop()

    return site.in_child(run)


def rules(text):
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)


@pytest.fixture
def _nft():
    if shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs nft (nftables)")


@pytest.mark.usefixtures("_nft")
def test_a_black_hole_is_given_up_and_the_next_poll_finds_the_way(site):
    commit = site.repository.commit(PLAN)

    def body():
        hole = f"type filter hook input priority 0; tcp dport {site.server.port} drop;"
        rules(f"table inet hole {{ chain in {{ {hole} }}\n}}")
        dark, _ = site.poll(site.config(source={"connect_timeout": 0.5}))
        rules("delete table inet hole")
        return dark, site.poll()[0]

    dark, light = in_a_network_of_its_own(site, body)

    assert dark.failure is not None
    assert (dark.failure.code, dark.failure.transient) == ("RemoteUnreachable", True)
    assert "does not answer in time" in dark.failure.message
    assert (light.commit, light.failure) == (commit, None)


@pytest.mark.slow
@pytest.mark.usefixtures("_nft")
def test_half_of_all_packets_may_be_lost(site):
    """Whatever comes of a poll then, the store is sound, and the next poll over a sound network succeeds."""
    commit = site.repository.commit(PLAN)
    half = "numgen random mod 2 == 0 drop"
    port = site.server.port
    loss = f"type filter hook input priority 0; tcp dport {port} {half}; tcp sport {port} {half};"

    def body():
        rules(f"table inet loss {{ chain in {{ {loss} }}\n}}")
        lossy, _ = site.poll(site.config(source={"timeout": 2.0, "connect_timeout": 2.0}, interval=5.0))
        rules("delete table inet loss")
        return lossy, site.poll()[0]

    lossy, sound = in_a_network_of_its_own(site, body)

    assert lossy.failure is None or lossy.failure.transient
    assert (sound.commit, sound.failure) == (commit, None)
    store = store_path(site.config())
    command = ["git", "-c", "safe.directory=*", "-C", store, "fsck"]
    subprocess.run([*command, "--strict"], check=True, capture_output=True)
    assert not [file.name for file in store.rglob("*") if file.name.endswith(".lock") or "_git2_" in file.name]


@pytest.mark.parametrize(("path", "code"), [("login", "RemoteUnreachable"), ("x/info/refs", "WorkerFailed")])
def test_a_redirect_on_the_same_host_costs_at_most_the_worker(site, path, code):
    """libgit2 goes round in circles at the first, and crashes at the second (a null pointer for the query; 1.9)."""
    commit = site.repository.commit(PLAN)

    def look(reporter, stop):
        return poll(config, "", stop, reporter, None, standing=ANYTHING)

    with WebServer(site.repository.bare.parent, None) as server:
        config = site.config(source={"url": server.url("repository.git")})
        server.location = server.url(f"{path}#")  # what comes behind it is no query then
        found = worker.run("poll", look, Recorder(), time_limit=20)
        server.location = ""
        after = worker.run("poll", look, Recorder(), time_limit=20)

    failure = found if isinstance(found, Failure) else found.failure
    assert (failure.code, failure.transient) == (code, True), failure.message
    assert (after.commit, after.failure) == (commit, None)


class Recorder:
    def report(self, event):
        pass
