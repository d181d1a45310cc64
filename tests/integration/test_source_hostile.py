"""Code in the place of the fetch worker's and the exporter's own, really confined: whatever it tries is refused.

Each protection is missed when it is switched off: something gets through then that did not before.
"""

import json
import os
import pwd
import resource
import socket
import stat
import threading

import pytest

from nodeagent.model.events import Notice, StepOutput
from nodeagent.model.outcomes import Failure
from nodeagent.source import bounds, confine, landlock, poll, reach, seccomp
from nodeagent.workers import worker
from nodeagent.workers.stream import stream
from tests.integration import attacks

pytestmark = [
    pytest.mark.skipif(landlock.version() < 6, reason="needs a kernel with Landlock 6"),
    pytest.mark.skipif(not seccomp.is_known(), reason="there is no seccomp filter for this machine"),
]
SUICIDE = "become a shell"  # the attacker is gone if it succeeds


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)


@pytest.fixture
def node(site):
    config = site.config()
    poll.prepare(config)
    store = poll.store_path(config).parent
    uid = pwd.getpwnam(config.source.user).pw_uid
    with attacks.standing(site.directory / "open", store, site.key_file, uid) as node:
        yield node


def taken_over(site, job, patch=lambda: None, keep=()):
    """What comes of a poll worker whose own work is replaced by the job; who asks for a key has given up root."""
    config, recorder = site.config(), Recorder()

    def hostile(reporter, stop):
        patch()
        poll.Follower.look = lambda *_: job(reporter)
        return poll.poll(config, "", stop, reporter, None)

    outcome = worker.run("poll", hostile, recorder, time_limit=40, keep=keep, kinds=(Notice,))
    return outcome, recorder.events


def got_through(site, node, patch=lambda: None, but=()):
    def attack(reporter):
        reporter.report(Notice(priority=7, text=json.dumps(attacks.succeeded(node, but=but))))
        return ""

    outcome, events = taken_over(site, attack, patch, node.descriptors)
    assert events, outcome
    return set(json.loads(events[0].text))


def test_nothing_that_a_fetch_worker_tries_gets_through_but_what_it_needs(site, node):
    assert got_through(site, node) == set()


def test_the_daemon_and_its_node_are_as_before(site, node):
    got_through(site, node)
    assert (node.place / "file").read_text() == attacks.TREASURE
    assert {path.name for path in node.place.iterdir()} == {"file", "stream", "datagram"}
    assert {path.name for path in node.store.iterdir()} <= {"store.git"}


# --- what each protection is for -------------------------------------------------------------------------------


def without_files():
    landlock._FILES = {}


def without_ports():
    landlock._BIND = landlock._CONNECT = 0


def without_scopes():
    landlock._ABSTRACT_SOCKETS = landlock._SIGNALS = 0


def without_calls():
    seccomp.program.cache_clear()
    seccomp.REFUSED = {}


def without_families():
    seccomp.program.cache_clear()
    seccomp._socket = lambda local: [seccomp._allow()]


def without_judgement():
    seccomp.program.cache_clear()
    seccomp.JUDGED = dict.fromkeys(seccomp.JUDGED, (9999, 9999))


def without_limit(which):
    def patch():
        real = resource.setrlimit
        resource.setrlimit = lambda number, pair: number == which or real(number, pair)

    return patch


def without_silence():
    confine._be_silent = lambda: None


SWITCHED_OFF = {
    "Landlock's files": (
        without_files,
        {
            "read a file for all",
            "read the key file",
            "list /",
            "list /etc",
            "read what the node runs",
            "write to /var/tmp",
            "write to /tmp",
            "write to /dev/shm",
            "write to a file for all",
            "cut a file for all",
            "take a file into the store",
            "make a link in the store",
            "make a fifo in the store",
        },
    ),
    "Landlock's ports": (without_ports, {"take a port", "call another port"}),
    "Landlock's scopes": (without_scopes, {"signal a process through a pipe", "talk by a forgotten socket"}),
    "the filter's calls": (
        without_calls,
        {
            "talk by a pair of sockets",
            "wait for callers",
            "make a namespace",
            "make a ring",
            "handle page faults",
            "keep a key",
            "use memory as a file",
        },
    ),
    "the filter's sockets": (
        without_families,
        {"talk to a service", "talk to a service by datagrams", "open an audit socket"},
    ),
    "the filter's look at arguments": (
        without_judgement,
        {"limit a process", "use shared memory", "call another port with data"},
    ),
    "an output that leads nowhere": (without_silence, {"speak as the daemon"}),
    "the limit of processes": (without_limit(resource.RLIMIT_NPROC), {"start a thread"}),
    "the limit of memory": (without_limit(resource.RLIMIT_DATA), {"use more memory"}),
    "the limit of core files": (without_limit(resource.RLIMIT_CORE), {"dump core"}),
}


@pytest.mark.parametrize("name", SWITCHED_OFF)
def test_a_protection_that_is_switched_off_is_missed(site, node, name):
    patch, missed = SWITCHED_OFF[name]
    assert got_through(site, node, patch, but={SUICIDE}) >= missed


# --- the exporter ----------------------------------------------------------------------------------------------


def test_nothing_that_an_exporter_tries_gets_through_and_it_has_no_socket_at_all(site, node):
    config = site.config()
    store = poll.store_path(config)

    def send(out):
        bounds.bound(config.limits)
        confine.confine(config.source.user, reach.exporting(store=store))
        found = attacks.succeeded(node)
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
            try:
                socket.socket(family, socket.SOCK_DGRAM).close()
            except OSError:
                continue
            found.append(f"open a socket of family {family}")
        out.write(json.dumps(found).encode())

    with stream(send, time_limit=40, keep=node.descriptors) as source:
        assert json.loads(source.read()) == []


# --- what it says ----------------------------------------------------------------------------------------------


def pipes():
    """The descriptors of this process that lead to its parent."""
    for number in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                yield number
        except OSError:
            continue


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (b"\0garbage\n", "what is no frame"),
        (b'{"kind": "Notice", "value": {"priority": "0"}}\n', "what is no frame"),
        (b"[" * 100_000 + b"\n", "what is no frame"),
        (b"x" * 2**22, "more than 1048576 bytes"),
    ],
)
def test_what_it_writes_to_the_daemon_s_pipe_is_no_word_of_the_agent(site, words, text):
    def job(_):
        for number in pipes():
            left = memoryview(words)
            while left:
                left = left[os.write(number, left) :]
        return ""

    outcome, events = taken_over(site, job)
    assert isinstance(outcome, Failure)
    assert text in outcome.message
    assert events == []


def test_it_cannot_speak_for_steps_that_were_never_run(site):
    def job(reporter):
        reporter.report(StepOutput(number=1, text="all is well"))
        threading.Event().wait(30)
        return ""

    outcome, events = taken_over(site, job)
    assert isinstance(outcome, Failure)
    assert "not its to say" in outcome.message
    assert events == []


def test_what_it_leaves_in_place_of_the_store_is_no_store(site, node):
    """It may write what it likes there: root never opens it, and the next poll makes it anew."""
    commit = site.repository.commit({"post.sh": "#!/bin/sh\n"})

    def job(_):
        (node.store / "store.git").mkdir()
        (node.store / "store.git/HEAD").write_text("ref: ../../../etc/shadow\n")
        return ""

    taken_over(site, job)
    outcome, _ = site.poll()
    assert (outcome.commit, outcome.failure) == (commit, None)


@pytest.mark.parametrize("known", range(6))
def test_a_fetch_does_its_work_with_what_an_older_kernel_knows_of_landlock(site, monkeypatch, known):
    """Version 1 lets no file change its directory, though nobody asked for that."""
    monkeypatch.setattr(landlock, "version", lambda: known)
    current = site.repository.commit({"post.sh": "#!/bin/sh\n", "large": os.urandom(100_000)})
    assert site.poll()[0].commit == current
    for number in range(3):
        newest = site.repository.commit({"large": os.urandom(100_000), "number": str(number)})
        for _ in range(2):  # the second finds the store too large, and replaces it
            outcome, _ = site.poll(current=current)
            assert (outcome.commit, outcome.failure) == (newest, None)
            current = newest
    assert not site.poll(current=current)[0].moved


def test_a_fetch_does_its_work_without_a_filter(site, monkeypatch):
    monkeypatch.setattr(seccomp, "MACHINES", ())
    commit = site.repository.commit({"post.sh": "#!/bin/sh\n"})
    outcome, _ = site.poll()
    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_server_is_still_found_by_its_name(site):
    """By /etc/hosts, and by what /etc/nsswitch.conf and the C library load for it."""
    commit = site.repository.commit({"post.sh": "#!/bin/sh\n"})
    site.known_hosts.write_text(site.server.known_hosts_line.replace("127.0.0.1", "localhost"))
    outcome, _ = site.poll(site.config(source={"url": site.url.replace("127.0.0.1", "localhost")}))
    assert (outcome.commit, outcome.failure) == (commit, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hosts: files dns\n", True),
        ("passwd: files\nhosts:\tfiles mymachines resolve [!UNAVAIL=return] files myhostname dns\n", True),
        ("passwd: files\n", True),
        ("hosts: files resolve # dns\n", False),
        ("hosts: files sss\n", False),
        (None, True),
    ],
)
def test_local_sockets_are_left_to_it_only_where_no_dns_is_asked_for_hosts(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "nsswitch.conf").write_text(text)
    assert reach._asks_dns(str(tmp_path / "nsswitch.conf")) is expected
