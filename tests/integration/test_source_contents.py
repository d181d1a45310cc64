"""What a hostile or broken repository may hold, from a real server to a node: refused before anything is touched."""

import hashlib
import os
import resource
import subprocess  # noqa: TID251 - tests drive the real programs
import threading
import zlib

import pytest

from nodeagent import reconcile
from nodeagent.situation import Wishes
from nodeagent.source.poll import store_path
from nodeagent.workers import worker
from testbed import packs

SCRIPT = b"#!/bin/sh\n"
MIB = 2**20


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)


class Node:
    """A node that was given one sound commit, and what the server then sends it."""

    def __init__(self, site):
        self.site = site
        self.target = site.directory / "motd"
        self.config = site.config(first_start="apply", source={"timeout": 10.0}, limits={"file_bytes": 8 * MIB})
        self.text = f'#!/bin/sh\nCOPY() {{ rsync -a "$1" "$2"; }}\nCOPY files/motd {self.target}\n'
        self.commit = site.repository.commit({"post.sh": self.text, "files/motd": "sound"})
        self.known = ""
        self.sound = list(self._sound())
        assert self.cycle() == ("", "")

    def cycle(self):
        """What the daemon's two workers do; the failure's code and message."""

        def look(reporter, stop):
            return reconcile.poll(self.config, self.known, stop, reporter)

        found = worker.run("poll", look, Recorder(), time_limit=40)
        self.known = getattr(found, "commit", "") or self.known
        done = reconcile.apply_cycle(self.config, self.known, threading.Event(), Recorder(), Wishes())
        failure = getattr(found, "failure", found) or done.failure
        return (failure.code, failure.message) if failure else ("", "")

    def serve(self, entries, commit, refs=None):
        """Have the server show the commit as ``main``, and send these objects for it."""
        data, names = self.site.directory / "pack", self.site.directory / "refs"
        data.write_bytes(packs.pack([*self.sound, *entries]))
        names.write_bytes(refs or commit.hex().encode() + b" refs/heads/main\n")
        self.site.server.authorize(self.site.key.with_suffix(".pub"), packs.command(data, names))

    def _sound(self):
        """What the node stands at, for a store that is filled anew."""
        kinds = {"commit": packs.COMMIT, "tree": packs.TREE, "blob": packs.BLOB}
        for line in self.site.repository.git("rev-list", "--objects", "main").splitlines():
            oid = line.split()[0]
            kind = self.site.repository.git("cat-file", "-t", oid)
            command = ["git", "-C", self.site.repository.work, "cat-file", kind, oid]
            yield packs.entry(kinds[kind], subprocess.run(command, check=True, capture_output=True).stdout)

    def serve_tree(self, *entries, blobs=(), trees=()):
        """A commit on top of the sound one, with this tree."""
        script = (b"100644", b"post.sh", packs.oid(packs.BLOB, SCRIPT))
        tree = packs.tree(*sorted([*entries, script], key=lambda e: e[1] + b"/" * (e[0] == b"40000")))
        self.serve_raw(tree, blobs, trees)

    def serve_raw(self, tree, blobs=(), trees=(), **commit):
        made = packs.commit(packs.oid(packs.TREE, tree), parents=[bytes.fromhex(self.commit)], **commit)
        objects = [(packs.COMMIT, made), (packs.TREE, tree), (packs.BLOB, SCRIPT)]
        objects += [(packs.BLOB, blob) for blob in blobs] + [(packs.TREE, tree) for tree in trees]
        self.serve([packs.entry(*each) for each in dict.fromkeys(objects)], packs.oid(packs.COMMIT, made))

    def assert_untouched(self):
        """The node stands where it stood, and takes the next sound commit."""
        assert self.target.read_text() == "sound"
        assert (self.config.source.checkout / "post.sh").read_text() == self.text
        assert sorted(os.listdir(self.config.source.checkout)) == ["files", "post.sh"]
        self.site.server.authorize(self.site.key.with_suffix(".pub"))
        self.site.repository.commit({"files/motd": "later"})
        assert self.cycle() == ("", "")
        assert self.target.read_text() == "later"


@pytest.fixture
def node(site):
    return Node(site)


TEXT = packs.oid(packs.BLOB, b"text")

NAMES = {
    b"..": "the name '..'",
    b".": "the name '.'",
    b".git": "keeps for itself",
    b".GiT": "keeps for itself",
    b"GIT~1": "keeps for itself",
    b".git ": "keeps for itself",
    b".git. .": "keeps for itself",
    b".git::$INDEX_ALLOCATION": "keeps for itself",
    b"a\\.git\\b": "keeps for itself",
    ".g\u200cit".encode(): "keeps for itself",
    ".\ufeffGIT".encode(): "keeps for itself",
    b"a/b": "a slash",
    b"/etc": "a slash",
    b"": "an empty name",
    b"n" * 256: "more than 255 bytes",
    b".nodeagent-staging": "keeps for itself",
}


def test_a_name_that_leads_elsewhere_is_refused_and_the_path_is_named(node):
    for name, reason in NAMES.items():
        node.serve_tree((b"100644", name, TEXT), blobs=[b"text"])
        code, message = node.cycle()

        assert (code, name) == ("RevisionRejected", name)
        assert reason in message, name
        assert message.isprintable()
    node.assert_untouched()


def test_names_that_other_systems_keep_for_devices_and_links_out_of_the_tree_are_content(node):
    links = {b"passwd": b"/etc/passwd", b"up": b"../../..", b"zone": b"/usr/share/zoneinfo/UTC"}
    plain = [b"CON", b"aux.conf", b"COM1", b"nul", b"back\\slash", b"colon:name", b"-rf", b"a\nb", b"\xff\xfe"]
    entries = [(b"120000", name, packs.oid(packs.BLOB, target)) for name, target in links.items()]
    node.serve_tree(*entries, *((b"100644", name, TEXT) for name in plain), blobs=[b"text", *links.values()])

    assert node.cycle() == ("", "")

    top = os.fsencode(node.config.source.checkout)
    assert {name: os.readlink(top + b"/" + name) for name in links} == links
    assert {name for name in os.listdir(top) if name not in links} == {*plain, b"post.sh"}


def test_what_real_git_has_and_serves_is_judged_the_same(node):
    """Trees that git's plumbing writes when it is told not to look, sent by git itself."""
    git, bare = ["git", "-C", node.site.repository.bare], node.site.repository.bare

    def written(kind, content):
        command = [*git, "hash-object", "-w", "-t", kind, "--literally", "--stdin"]
        return bytes.fromhex(subprocess.run(command, input=content, check=True, capture_output=True).stdout.decode())

    script, text = (b"100644", b"post.sh", written("blob", SCRIPT)), written("blob", b"text")
    many = [(b"100644", b"f%04d" % number, text) for number in range(40)]
    node.config = node.config.model_copy(update={"limits": node.config.limits.model_copy(update={"files": 30})})
    cases = {
        ".git": [(b"40000", b".git", written("tree", packs.tree((b"100644", b"config", text)))), script],
        "sub/..": [script, (b"40000", b"sub", written("tree", packs.tree((b"100644", b"..", text))))],
        "limits.files": [*many, script],
        "large": [(b"100644", b"large", written("blob", bytes(9 * MIB))), script],
    }
    for shown, entries in cases.items():
        made = packs.commit(written("tree", packs.tree(*entries)), parents=[bytes.fromhex(node.commit)])
        subprocess.run([*git, "update-ref", "refs/heads/main", written("commit", made).hex()], check=True)

        code, message = node.cycle()

        assert (code, shown) == ("RevisionRejected", shown)
        assert shown in message
    subprocess.run(["git", "-C", bare, "update-ref", "refs/heads/main", node.commit], check=True)
    node.assert_untouched()


@pytest.mark.parametrize("target", [b"/bin/true", b"../../bin/true", b"post.sh", b"missing"])
def test_a_post_sh_that_is_a_link_out_of_the_tree_or_to_nothing_is_refused(node, target):
    link = (b"120000", b"post.sh", packs.oid(packs.BLOB, target))
    node.serve_raw(packs.tree(link), blobs=[target])

    assert node.cycle()[0] == "PostScriptMissing"
    node.assert_untouched()


def trees():
    """Trees that git's fsck refuses, by what is wrong with them."""
    sub = packs.tree((b"100644", b"x", TEXT))
    directory = (b"40000", b"a", packs.oid(packs.TREE, sub))
    file, other = (b"100644", b"a", TEXT), (b"100644", b"b", TEXT)
    return {
        "twice": packs.tree(file, file),
        "order": packs.tree(other, file),
        "twice ": packs.tree(file, directory),
        "mode": packs.tree((b"100777", b"a", TEXT)),
        "the mode": packs.tree((b"10064x", b"a", TEXT)),
        "cut off": packs.tree(file)[:-1],
        "submodule": packs.tree((b"160000", b"a", TEXT)),
    }


def test_a_malformed_tree_is_refused(node):
    for reason, tree in trees().items():
        node.serve_raw(tree, blobs=[b"text"], trees=[packs.tree((b"100644", b"x", TEXT))])
        code, message = node.cycle()

        assert (code, reason) == ("RevisionRejected", reason)
        assert reason.strip() in message
    node.assert_untouched()


def test_an_object_that_is_missing_or_is_another_one_is_no_revision(node):
    sound = packs.tree((b"100644", b"post.sh", packs.oid(packs.BLOB, SCRIPT)))
    made = packs.commit(packs.oid(packs.TREE, sound), parents=[bytes.fromhex(node.commit)])
    head, commit = packs.entry(packs.COMMIT, made), packs.oid(packs.COMMIT, made)
    for objects in (
        [head],
        [head, packs.entry(packs.TREE, sound)],
        [head, packs.entry(packs.BLOB, SCRIPT)],
        [head, packs.entry(packs.TREE, b"garbage"), packs.entry(packs.BLOB, SCRIPT)],
        [head, packs.entry(packs.TREE, sound), packs.entry(packs.BLOB, SCRIPT + b"reboot\n")],
        [head, packs.entry(packs.TREE, sound), packs.head(packs.BLOB, 2**50) + zlib.compress(SCRIPT)],
    ):
        node.serve(objects, commit)
        code, _ = node.cycle()

        assert code in {"StoreUnusable", "RepositoryDamaged", "RevisionRejected"}, objects
    node.assert_untouched()


def dated(node, number, date):
    """The revision with this date, and what came of it."""
    who = b"\xff\x1b[31m <\xfe> " + date + (b" +9999", b" -0000", b" +0000")[number % 3]
    text = f"#!/bin/sh\n# {number}\n".encode()
    node.serve_raw(packs.tree((b"100644", b"post.sh", packs.oid(packs.BLOB, text))), blobs=[text], who=who)
    return node.cycle()


def test_a_commit_of_any_date_zone_and_author_is_followed(node):
    dates = [b"0", b"1", b"4294967295", b"4300000000", b"253402300799", b"253402300800", b""]
    for number, date in enumerate(dates):
        before = node.commit
        assert dated(node, number, date) == ("", ""), date
        node.commit = node.known
        node.sound = []
        assert node.commit != before


@pytest.mark.parametrize("date", [b"99999999999999999999", b"x"])
def test_a_commit_whose_date_is_none_is_refused(node, date):
    assert dated(node, 0, date)[0] == "RepositoryDamaged"
    node.assert_untouched()


def bombs():
    """A few hundred bytes that stand for 384 MiB, each in its own way."""
    base, size = bytes(2**24 - 1), 24 * (2**24 - 1)
    zeros = zlib.compressobj()
    whole = b"".join(zeros.compress(base) for _ in range(24)) + zeros.flush()
    bomb = packs.delta(packs.oid(packs.BLOB, base), len(base), size, packs.copy(0, len(base)) * 24)
    return size, {"deflated": [packs.head(packs.BLOB, size) + whole], "delta": [packs.entry(packs.BLOB, base), bomb]}


def of_zeros(size):
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for _ in range(24):
        digest.update(bytes(size // 24))
    return digest.digest()


@pytest.mark.parametrize("kind", ["deflated", "delta"])
def test_a_pack_that_unfolds_takes_no_more_memory_than_the_limits_give_it(node, kind):
    size, found = bombs()
    script = packs.entry(packs.BLOB, SCRIPT)
    tree = packs.tree((b"100644", b"bomb", of_zeros(size)), (b"100644", b"post.sh", packs.oid(packs.BLOB, SCRIPT)))
    made = packs.commit(packs.oid(packs.TREE, tree), parents=[bytes.fromhex(node.commit)])
    entries = [packs.entry(packs.COMMIT, made), packs.entry(packs.TREE, tree), script, *found[kind]]
    node.serve(entries, packs.oid(packs.COMMIT, made))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss

    code, message = node.cycle()

    assert code == "RevisionRejected"
    assert "limits" in message
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of any child so far, in KiB
    assert largest == before or largest < 300 * 2**10
    node.assert_untouched()


def test_a_pack_without_end_fills_no_disk(node):
    node.config = node.config.model_copy(update={"limits": node.config.limits.model_copy(update={"total_bytes": MIB})})
    node.serve_tree((b"100644", b"noise", TEXT), blobs=[b"text", os.urandom(20 * MIB)])

    code, message = node.cycle()

    assert code == "RevisionRejected"
    assert "limits.total_bytes" in message
    node.config = node.config.model_copy(
        update={"limits": node.config.limits.model_copy(update={"total_bytes": 2**30})}
    )
    node.assert_untouched()


def test_names_of_refs_that_mean_something_elsewhere_do_nothing(node):
    commit = bytes.fromhex(node.commit)
    evil = [b"--upload-pack=x", b"../../x", b"a:refs/heads/b", b"a\x01\x1b[31m", b"*", b"x.lock", b"-", b"a b", b"@{0}"]
    lines = [node.commit.encode() + b" refs/heads/" + name + b"\n" for name in (*evil, b"main")]
    node.serve([], commit, refs=b"".join(lines))
    assert node.cycle() == ("", "")

    node.config = node.config.model_copy(
        update={
            "source": node.config.source.model_copy(update={"ref": node.commit, "checkout": node.site.directory / "c"})
        }
    )
    store = store_path(node.config)
    subprocess.run(["rm", "-r", store], check=True)  # now all refs that lead to the commit are candidates
    assert node.cycle() == ("", "")
    assert sorted(path.name for path in (store / "refs").rglob("*") if path.is_file()) == ["fetched"]


def test_a_pack_with_any_changed_byte_is_refused_or_is_the_commit(node):
    """The bytes that change are spread over a pack that is sound; whatever comes of it, no worker crashes."""
    tree = packs.tree((b"100644", b"post.sh", packs.oid(packs.BLOB, SCRIPT)))
    node.serve_raw(tree)
    file = node.site.directory / "pack"
    sound = file.read_bytes()
    for number in range(10):
        at = (len(sound) - 1) * number // 9
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << number % 8]) + sound[at + 1 :])

        code, _ = node.cycle()

        assert code in {"RepositoryDamaged", "RemoteUnreachable", "RevisionRejected"}, at
    node.assert_untouched()


def serve_refs(node, count):
    lines = [b"%s refs/heads/%060d\n" % (node.commit.encode(), number) for number in range(count)]
    node.serve([], bytes.fromhex(node.commit), refs=b"".join([*lines, node.commit.encode() + b" refs/heads/main\n"]))


def test_thousands_of_refs_are_listed_in_bounded_memory(node):
    serve_refs(node, 20_000)

    assert node.cycle() == ("", "")


def test_more_refs_than_fit_into_memory_are_refused(node):
    node.config = node.config.model_copy(update={"limits": node.config.limits.model_copy(update={"file_bytes": 1})})
    serve_refs(node, 300_000)

    code, message = node.cycle()

    assert code == "RevisionRejected"
    assert "limits.file_bytes" in message


def test_refs_without_end_are_given_up(node):
    node.config = node.config.model_copy(update={"limits": node.config.limits.model_copy(update={"file_bytes": 1})})
    endless = "printf '003d%s refs/heads/x\\0shallow\\n' $0; exec yes \"0034$0 refs/y\""
    node.site.server.authorize(node.site.key.with_suffix(".pub"), f"sh -c '{endless}' {node.commit}")

    code, message = node.cycle()

    assert code in {"RevisionRejected", "RemoteUnreachable"}, message
    node.config = node.config.model_copy(update={"limits": node.config.limits.model_copy(update={"file_bytes": MIB})})
    node.assert_untouched()
