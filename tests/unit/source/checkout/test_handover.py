import contextlib
import hashlib
import io
import os
import struct
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.config import Limits
from nodeagent.errors import NonFastForward, RevisionRejected, SignatureMissing, StoreUnusable, WorkerFailed
from nodeagent.source.checkout import handover, sending, tree
from nodeagent.source.checkout.known import NOTHING, Known
from nodeagent.source.checkout.manifest import Entry
from nodeagent.source.store import git
from nodeagent.source.trust.history import Standing


class Store:
    """A bare repository that is written with git's own plumbing, hostile objects too."""

    def __init__(self, path):
        self.path = path
        subprocess.run(["git", "init", "-q", "--bare", path], check=True)

    def git(self, *arguments, data=b""):
        environment = {
            **os.environ,
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        command = ["git", "-C", self.path, *arguments]
        return (
            subprocess.run(command, input=data, check=True, capture_output=True, env=environment)
            .stdout.decode()
            .strip()
        )

    def blob(self, content):
        return self.git("hash-object", "-w", "--stdin", data=content)

    def tree(self, *entries):
        """A tree of (mode, name, id), as it stands: git would sort and check."""
        content = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=content)

    def commit(self, tree, *parents):
        return self.git("commit-tree", tree, "-m", "c", *(word for parent in parents for word in ("-p", parent)))

    def files(self, **contents):
        return self.commit(
            self.tree(*((b"100644", name.encode(), self.blob(text)) for name, text in sorted(contents.items())))
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store") / "store.git")


@pytest.fixture
def staging(tmp_path):
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"


def standing(ancestor):
    return Standing(commits=(ancestor,) if ancestor else ())


def exported(store, commit, have=(), ancestor=""):
    stream = io.BytesIO()
    sending.export(store.path, commit, have, stream, standing=standing(ancestor))
    return stream.getvalue()


def received(data, commit, staging, *, have=None, known=NOTHING, ancestor="", **limits):
    return handover.receive(
        io.BytesIO(data), commit, Limits(**limits), staging, have or {}, known=known, standing=standing(ancestor)
    )


def handed_over(store, commit, staging, **options):
    have, ancestor = options.get("have") or {}, options.get("ancestor", "")
    return received(exported(store, commit, have, ancestor), commit, staging, **options)


def frames(data):
    """The (kind, content) pairs of a stream."""
    found = []
    while data:
        kind, length = struct.unpack_from(">cQ", data)
        found.append((kind, data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def stream_of(pairs):
    return b"".join(struct.pack(">cQ", kind, len(content)) + content for kind, content in pairs)


# --- what is handed over ---------------------------------------------------------------------------------------


def known_of(manifest, *, harmed=()):
    return Known(manifest.directories, manifest.items, harmed)


@pytest.fixture
def nested(store):
    """A commit with files, a link and directories in directories, and one in which only the top has changed."""
    text, script, target = store.blob(b"text\n"), store.blob(b"#!/bin/sh\n"), store.blob(b"/etc/motd")
    inner = store.tree((b"100644", b"text", text), (b"120000", b"to", target))
    outer = store.tree((b"40000", b"inner", inner), (b"100755", b"run", script))
    first = store.commit(store.tree((b"40000", b"outer", outer), (b"100644", b"post.sh", script)))
    second = store.commit(store.tree((b"40000", b"again", outer), (b"40000", b"outer", outer), (b"100644", b"z", text)))
    return first, second


def test_a_tree_that_stands_in_the_checkout_is_not_gone_into_wherever_it_is_now(store, nested, tmp_path):
    (tmp_path / "a").mkdir()
    first = handed_over(store, nested[0], tmp_path / "a")
    (tmp_path / "b").mkdir()
    whole = handed_over(store, nested[1], tmp_path / "b")
    have = {item.oid: item.size for item in first.items.values() if item.entry is not Entry.LINK}
    known = known_of(first)
    data = exported(store, nested[1], {*have, *known.ids})
    assert [kind for kind, _ in frames(data)] == [b"c", b"t", b"."]
    found = received(data, nested[1], tmp_path, have=have, known=known)
    assert (found.items, found.directories) == (whole.items, whole.directories)


def test_what_is_harmed_in_the_checkout_is_gone_into_down_to_it(store, nested, tmp_path):
    (tmp_path / "a").mkdir()
    first = handed_over(store, nested[0], tmp_path / "a")
    assert known_of(first, harmed=["outer/run"]).ids == {first.directories["outer/inner"]}
    assert known_of(first, harmed=["outer/inner/to"]).ids == set()
    assert known_of(first, harmed=["post.sh"]).ids == set(first.directories.values())


@pytest.mark.parametrize(("limits", "reason"), [({"files": 8}, "more than 8 files"), ({"total_bytes": 30}, "30 bytes")])
def test_the_limits_hold_for_what_is_not_gone_into_too(store, nested, tmp_path, limits, reason):
    (tmp_path / "a").mkdir()
    first = handed_over(store, nested[0], tmp_path / "a")
    have, known = {item.oid: item.size for item in first.items.values()}, known_of(first)
    data = exported(store, nested[1], {*have, *known.ids})
    with pytest.raises(RevisionRejected, match=reason):
        received(data, nested[1], tmp_path, have=have, known=known, **limits)


def test_a_known_tree_does_not_come_to_stand_deeper_than_a_path_may(store, nested, tmp_path):
    (tmp_path / "a").mkdir()
    first = handed_over(store, nested[0], tmp_path / "a")
    deep = first.directories["outer"]
    for _ in range(12):
        deep = store.tree((b"40000", b"d" * 254, deep))
    commit = store.commit(store.tree((b"40000", b"d" * 3, deep)))
    have, known = {item.oid: item.size for item in first.items.values()}, known_of(first)
    data = exported(store, commit, {*have, *known.ids})
    with pytest.raises(RevisionRejected, match="a path of more than 3072 bytes"):
        received(data, commit, tmp_path, have=have, known=known)


def test_files_modes_links_and_directories_arrive(store, staging):
    script, text, target = store.blob(b"#!/bin/sh\n"), store.blob(b"text\n"), store.blob(b"../../etc/passwd")
    sub = store.tree((b"100644", b"text", text))
    tree = store.tree((b"120000", b"link", target), (b"100755", b"post.sh", script), (b"40000", b"sub", sub))
    commit = store.commit(tree)

    manifest = handed_over(store, commit, staging)

    assert (manifest.commit, manifest.tree) == (commit, tree)
    found = {name: (item.entry, item.oid, item.size, item.target) for name, item in manifest.items.items()}
    assert found == {
        "link": (Entry.LINK, target, 16, "../../etc/passwd"),
        "post.sh": (Entry.EXECUTABLE, script, 10, ""),
        "sub/text": (Entry.FILE, text, 5, ""),
    }
    assert {file.name: file.read_bytes() for file in staging.iterdir()} == {script: b"#!/bin/sh\n", text: b"text\n"}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in staging.iterdir())


def test_an_empty_tree_and_an_empty_file_arrive(store, staging):
    assert handed_over(store, store.commit(store.tree()), staging).items == {}
    manifest = handed_over(store, store.files(empty=b""), staging)
    assert manifest.items["empty"].size == 0


def test_a_blob_at_several_paths_is_sent_once(store, staging):
    blob = store.blob(b"same" * 1000)
    sub = store.tree((b"100755", b"b", blob))
    commit = store.commit(store.tree((b"100644", b"a", blob), (b"40000", b"x", sub), (b"40000", b"y", sub)))

    data = exported(store, commit)

    assert len(data) < 5000
    assert sorted(received(data, commit, staging).items) == ["a", "x/b", "y/b"]


def test_a_blob_may_be_file_and_link_at_once(store, staging):
    blob = store.blob(b"target")
    for have in ({}, {blob: 6}):
        commit = store.commit(store.tree((b"100644", b"file", blob), (b"120000", b"link", blob)))
        manifest = handed_over(store, commit, staging, have=have)
        assert manifest.items["link"].target == "target"
        assert manifest.items["file"].size == 6
        for file in staging.iterdir():
            file.unlink()


def test_blobs_that_the_receiver_has_are_not_sent(store, staging):
    commit = store.files(old=b"old" * 1000, new=b"new")
    have = {store.blob(b"old" * 1000): 3000}

    data = exported(store, commit, have)

    assert b"oldold" not in data
    assert received(data, commit, staging, have=have).items["old"].size == 3000
    assert [file.read_bytes() for file in staging.iterdir()] == [b"new"]


def test_names_that_are_no_utf8_arrive(store, staging):
    commit = store.commit(store.tree((b"100644", b"\xff\xe4", store.blob(b"x"))))

    (name,) = handed_over(store, commit, staging).items

    assert os.fsencode(name) == b"\xff\xe4"


def test_the_old_group_writable_mode_keeps_its_tree_id(store, staging):
    blob = store.blob(b"x")
    tree = store.tree((b"100644", b"a", blob), (b"100664", b"b", blob))

    manifest = handed_over(store, store.commit(tree), staging)

    assert manifest.tree == tree
    assert manifest.items["b"].entry is Entry.FILE


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.dictionaries(
        st.text("abc.", min_size=1, max_size=4).filter(lambda name: name.strip(".")),
        st.binary(max_size=300),
        max_size=8,
    )
)
def test_any_tree_arrives_byte_for_byte(store, tmp_path_factory, contents):
    staging = tmp_path_factory.mktemp("staging")
    commit = store.files(**contents)

    manifest = handed_over(store, commit, staging)

    assert {name: (staging / item.oid).read_bytes() for name, item in manifest.items.items()} == contents


# --- the proof of descent --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(store):
    """a <- b <- c <- d, and s beside b and c, merged in d: [a, b, c, d, s]."""
    tree = store.tree()
    a = store.commit(tree)
    b = store.commit(tree, a)
    c = store.git("commit-tree", tree, "-m", "c2", "-p", b)
    s = store.git("commit-tree", tree, "-m", "s", "-p", a)
    d = store.commit(tree, s, c)
    return [a, b, c, d, s]


def test_a_commit_that_descends_from_the_ancestor_is_accepted(store, history, staging):
    a, b, c, d, s = history
    for commit, ancestor in [(d, a), (d, b), (d, c), (d, s), (d, d), (c, a), (b, a)]:
        assert handed_over(store, commit, staging, ancestor=ancestor).commit == commit


def test_a_commit_that_does_not_descend_is_refused(store, history, staging):
    a, b, c, d, s = history
    for commit, ancestor in [(a, b), (s, b), (c, s), (a, d), (d, "0" * 40)]:
        with pytest.raises(NonFastForward, match=commit):
            handed_over(store, commit, staging, ancestor=ancestor)


def test_a_descent_longer_than_the_limit_is_refused(store, history, staging, monkeypatch):
    monkeypatch.setattr(handover, "_LONGEST_DESCENT", 2)
    a, _, c, d, _ = history

    assert handed_over(store, d, staging, ancestor=c).commit == d
    with pytest.raises(RevisionRejected, match="more than 2 commits"):
        handed_over(store, c, staging, ancestor=a)


def test_a_forged_descent_is_refused(store, history, staging):
    a, _, c, _, s = history
    proof = frames(exported(store, c, ancestor=a))
    unrelated = frames(exported(store, s))[0]

    forged = stream_of([proof[0], unrelated, *proof[2:]])  # s has the parent a, and is no parent of c
    with pytest.raises(RevisionRejected):
        received(forged, c, staging, ancestor=a)
    with pytest.raises(RevisionRejected):
        received(exported(store, c), c, staging, ancestor=a)


# --- a hostile revision ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"..", b".", b"a/b", b".git", b".GIT", b"git~1", ".g\u200cit".encode(), b"x" * 256, b"a\\.git"]
)
def test_a_hostile_name_is_refused_wherever_it_stands(store, staging, name):
    blob = store.blob(b"x")
    for mode, oid in ((b"100644", blob), (b"40000", store.tree((b"100644", b"f", blob))), (b"120000", blob)):
        inner = store.tree((mode, name, oid))
        with pytest.raises(RevisionRejected, match="sub/"):
            handed_over(store, store.commit(store.tree((b"40000", b"sub", inner))), staging)


def test_the_name_of_the_staging_directory_is_refused(store, staging):
    commit = store.commit(store.tree((b"100644", handover.STAGING.encode(), store.blob(b"x"))))

    with pytest.raises(RevisionRejected, match="keeps for itself"):
        handed_over(store, commit, staging)


def test_a_submodule_is_refused_by_its_path(store, staging):
    inner = store.tree((b"160000", b"module", "1" * 40))

    with pytest.raises(RevisionRejected, match="sub/module: is a submodule"):
        handed_over(store, store.commit(store.tree((b"40000", b"sub", inner))), staging)


def test_a_file_and_a_directory_of_one_name_are_refused(store, staging):
    blob = store.blob(b"x")
    tree = store.tree((b"100644", b"a", blob), (b"40000", b"a", store.tree((b"100644", b"b", blob))))

    with pytest.raises(RevisionRejected, match="twice"):
        handed_over(store, store.commit(tree), staging)


def test_a_link_and_a_directory_of_one_name_are_refused(store, staging):
    tree = store.tree(
        (b"120000", b"a", store.blob(b"/etc")), (b"40000", b"a", store.tree((b"100644", b"passwd", store.blob(b"x"))))
    )

    with pytest.raises(RevisionRejected, match="twice"):
        handed_over(store, store.commit(tree), staging)


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 4096])
def test_a_link_whose_target_no_file_system_takes_is_refused(store, staging, target):
    commit = store.commit(store.tree((b"120000", b"link", store.blob(target))))

    with pytest.raises(RevisionRejected, match="link"):
        handed_over(store, commit, staging)


def test_a_malformed_tree_is_refused_by_its_commit(store, staging):
    tree = store.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=b"100644 a\0short")
    commit = store.commit(store.tree((b"40000", b"sub", tree)))

    with pytest.raises(RevisionRejected, match="cut off"):
        handed_over(store, commit, staging)


def test_an_unknown_mode_is_refused(store, staging):
    commit = store.commit(store.tree((b"104755", b"suid", store.blob(b"x"))))

    with pytest.raises(RevisionRejected, match="104755"):
        handed_over(store, commit, staging)


def test_more_files_than_the_limit_are_refused(store, staging):
    commit = store.files(a=b"1", b=b"2", c=b"3")

    assert len(handed_over(store, commit, staging, files=3).items) == 3
    for file in staging.iterdir():
        file.unlink()
    with pytest.raises(RevisionRejected, match=r"limits\.files"):
        handed_over(store, commit, staging, files=2)


def test_a_file_larger_than_the_limit_is_refused_before_it_is_read(store, staging):
    commit = store.files(big=b"x" * 1001)

    with pytest.raises(RevisionRejected, match=r"big: has 1001 bytes, 1000 are allowed"):
        handed_over(store, commit, staging, file_bytes=1000)
    assert list(staging.iterdir()) == []


def test_more_bytes_than_the_limit_are_refused_also_when_they_are_the_same_ones(store, staging):
    blob = store.blob(b"x" * 600)
    commit = store.commit(store.tree((b"100644", b"a", blob), (b"100644", b"b", blob)))

    with pytest.raises(RevisionRejected, match=r"limits\.total_bytes"):
        handed_over(store, commit, staging, total_bytes=1000)


@pytest.mark.parametrize("stands", [False, True])
def test_links_count_as_bytes_too_also_those_that_stand_in_the_checkout(store, staging, tmp_path, stands):
    target = store.blob(b"/" + b"x" * 599)
    inner = store.tree((b"120000", b"a", target), (b"120000", b"b", target))
    commit = store.commit(store.tree((b"40000", b"inner", inner)))
    known = known_of(handed_over(store, commit, tmp_path)) if stands else NOTHING
    data = exported(store, commit, set(known.ids))

    with pytest.raises(RevisionRejected, match=r"inner.*limits\.total_bytes"):
        received(data, commit, staging, known=known, total_bytes=1000)


def test_a_tree_that_unfolds_without_end_is_refused_quickly(store, staging):
    tree = store.tree((b"100644", b"f", store.blob(b"x")))
    for _ in range(40):  # 10 ** 40 files
        tree = store.tree(*((b"40000", b"%d" % number, tree) for number in range(10)))

    with pytest.raises(RevisionRejected, match=r"limits\.files"):
        handed_over(store, store.commit(tree), staging, files=10_000)


def test_a_path_too_long_for_the_checkout_is_refused(store, staging):
    tree = store.tree((b"100644", b"f", store.blob(b"x")))
    for _ in range(20):
        tree = store.tree((b"40000", b"d" * 200, tree))

    with pytest.raises(RevisionRejected, match="path of more than"):
        handed_over(store, store.commit(tree), staging)


def test_control_characters_of_a_name_do_not_reach_the_message(store, staging):
    commit = store.commit(store.tree((b"160000", b"a\nb\x1b[31m", "1" * 40)))

    with pytest.raises(RevisionRejected) as raised:
        handed_over(store, commit, staging)
    assert r"a\nb\x1b[31m" in str(raised.value)
    assert str(raised.value).isprintable()


# --- a hostile or dying sender ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(store):
    """A revision, and its stream."""
    blob = store.blob(b"content")
    sub = store.tree((b"100644", b"a", blob), (b"120000", b"l", store.blob(b"a")))
    commit = store.commit(store.tree((b"100755", b"post.sh", store.blob(b"#!/bin/sh\n")), (b"40000", b"sub", sub)))
    return commit, exported(store, commit)


def test_another_commit_than_the_asked_one_is_refused(store, staging, sound):
    with pytest.raises(RevisionRejected):
        received(sound[1], store.files(other=b"x"), staging)


def test_a_stream_that_ends_early_is_a_sender_that_failed(tmp_path, sound):
    commit, data = sound
    for length in range(len(data)):
        staging = tmp_path / str(length)
        staging.mkdir()
        with pytest.raises(WorkerFailed):
            received(data[:length], commit, staging)


def test_no_changed_byte_is_accepted(tmp_path, sound):
    commit, data = sound
    for at in range(len(data)):
        staging = tmp_path / str(at)
        staging.mkdir()
        with pytest.raises((RevisionRejected, WorkerFailed)):
            received(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], commit, staging)


def test_frames_that_are_missing_doubled_or_out_of_order_are_refused(tmp_path, sound):
    commit, data = sound
    whole = frames(data)
    variants = []
    for at in range(len(whole)):
        variants.append(whole[:at] + whole[at + 1 :])
        variants.append([*whole[: at + 1], *whole[at:]])
        variants.extend([*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]] for _ in range(at < len(whole) - 1))
    for number, variant in enumerate(variants):
        staging = tmp_path / str(number)
        staging.mkdir()
        if variant[: len(whole)] == whole:  # the end frame twice: nobody reads on
            continue
        with pytest.raises((RevisionRejected, WorkerFailed)):
            received(stream_of(variant), commit, staging)


def test_an_announced_size_beyond_reason_is_refused_at_once(staging, sound):
    commit, data = sound
    for kind in (b"c", b"e", b"t"):
        with pytest.raises(RevisionRejected):
            received(struct.pack(">cQ", kind, 2**63) + data, commit, staging)


def test_a_forged_blob_does_not_stay_for_the_checkout(staging, sound):
    commit, data = sound
    forged = [(kind, b"forged!" if content == b"content" else content) for kind, content in frames(data)]

    with pytest.raises(RevisionRejected, match="sub/a"):
        received(stream_of(forged), commit, staging)


def test_a_staging_directory_that_is_not_empty_is_not_written_through(staging, sound, tmp_path):
    commit, data = sound
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (staging / hashlib.sha1(b"blob 7\0content").hexdigest()).symlink_to(victim)

    with pytest.raises(FileExistsError):
        received(data, commit, staging)
    assert victim.read_text() == "precious"


@given(data=st.binary(max_size=200))
def test_noise_is_refused(tmp_path_factory, data):
    with pytest.raises((RevisionRejected, WorkerFailed)):
        received(data, "0" * 40, tmp_path_factory.getbasetemp())


# --- what the sender fails with --------------------------------------------------------------------------------


def test_a_commit_that_the_store_lacks_fails_on_the_other_side(store, staging):
    with pytest.raises(StoreUnusable, match=str(store.path)):
        handed_over(store, "0" * 40, staging)


def test_a_damaged_blob_fails_on_the_other_side_and_the_store_is_emptied(tmp_path, staging):
    store = Store(tmp_path / "store.git")
    commit = store.files(a=b"content")
    oid = store.blob(b"content")
    file = store.path / "objects" / oid[:2] / oid[2:]
    file.chmod(0o600)
    file.write_bytes(b"damaged")

    with pytest.raises(StoreUnusable):
        handed_over(store, commit, staging)
    assert not (store.path / "objects" / oid[:2]).exists()


def test_a_failure_of_a_hostile_sender_is_one_clean_line(staging):
    message = b"NoSuchCode\0first\nsecond\x1b[31m\xff"

    with pytest.raises(WorkerFailed) as raised:
        received(struct.pack(">cQ", b"e", len(message)) + message, "0" * 40, staging)
    assert str(raised.value).isprintable()


def test_a_receiver_that_has_seen_enough_does_not_trouble_the_sender(store):
    commit = store.files(big=b"x" * 1_000_000)
    read, write = os.pipe()
    os.close(read)
    with contextlib.suppress(BrokenPipeError), open(write, "wb") as stream:  # closing writes what is left in the buffer
        sending.export(store.path, commit, (), stream)
        returned = True
    assert returned


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


def test_a_pointer_of_git_lfs_is_noticed_wherever_it_stands(store, staging):
    blob = store.blob(POINTER)
    sub = store.tree((b"100644", b"image", blob))
    commit = store.commit(store.tree((b"40000", b"files", sub), (b"100755", b"post.sh", blob)))

    assert sorted(handed_over(store, commit, staging).pointers) == ["files/image", "post.sh"]


@pytest.mark.parametrize("text", [b"# " + POINTER, POINTER + b"x" * 1024, POINTER[:40], b"version 1\n"])
def test_a_file_that_only_speaks_of_git_lfs_is_none(store, staging, text):
    assert handed_over(store, store.files(text=text), staging).pointers == []


def test_a_revision_with_a_pointer_is_refused_by_its_path_but_where_nothing_is_placed_from(store, staging):
    manifest = handed_over(store, store.files(key=POINTER), staging)

    with pytest.raises(RevisionRejected, match="key: is a Git LFS pointer"):
        tree.demand_contents(manifest)
    tree.demand_contents(manifest, ["key"])


# --- approval --------------------------------------------------------------------------------------------------


def asked(store, commit, staging, approve, tagged="main"):
    stream = io.BytesIO()
    sending.export(store.path, commit, (), stream, tagged=tagged)
    return handover.receive(io.BytesIO(stream.getvalue()), commit, Limits(), staging, {}, approve=approve)


def test_a_commit_is_shown_for_approval_with_the_tag_by_which_it_is_followed(store, staging):
    commit = store.files(text=b"text")
    content = store.git("cat-file", "commit", commit)
    tag = f"object {commit}\ntype commit\ntag v1\ntagger a <b> 1 +0000\n\nRelease\n".encode()
    oid = store.git("hash-object", "-w", "-t", "tag", "--stdin", data=tag)
    git.Store.open(store.path).remember_tag("v1", oid)
    seen = []

    for ref in ("v1", "main"):
        asked(store, commit, staging, lambda *shown: seen.append(shown), ref)
        for file in staging.iterdir():
            file.unlink()

    assert [(shown.decode().strip(), by) for shown, by in seen] == [(content, tag), (content, b"")]


def test_the_tag_of_another_commit_is_not_sent(store, staging):
    commit, other = store.files(text=b"one"), store.files(text=b"two")
    tag = f"object {other}\ntype commit\ntag v2\ntagger a <b> 1 +0000\n\nRelease\n".encode()
    git.Store.open(store.path).remember_tag("v2", store.git("hash-object", "-w", "-t", "tag", "--stdin", data=tag))
    seen = []

    asked(store, commit, staging, lambda *shown: seen.append(shown), "v2")

    assert seen[0][1] == b""


def test_a_ref_that_is_no_tag_any_more_stands_for_its_commit_by_none(store):
    commit = store.files(text=b"text")
    tag = f"object {commit}\ntype commit\ntag v3\ntagger a <b> 1 +0000\n\nRelease\n".encode()
    opened = git.Store.open(store.path)
    opened.remember_tag("v3", store.git("hash-object", "-w", "-t", "tag", "--stdin", data=tag))
    assert opened.tag_of("v3", commit) == tag

    opened.remember_tag("v3", "")

    assert opened.tag_of("v3", commit) == b""


def test_what_is_not_approved_leaves_nothing(store, staging):
    def refuse(content, tag):
        raise SignatureMissing("no")

    with pytest.raises(SignatureMissing):
        asked(store, store.files(text=b"text"), staging, refuse)

    assert not list(staging.iterdir())


def test_only_a_commit_whose_id_is_right_is_shown_for_approval(store, staging):
    commit = store.files(text=b"text")
    stream = io.BytesIO()
    sending.export(store.path, commit, (), stream, tagged="main")
    tag, (kind, content), *rest = frames(stream.getvalue())
    data = stream_of([tag, (kind, content + b"\n"), *rest])

    def approve(content, tag):
        raise AssertionError

    with pytest.raises(RevisionRejected):
        handover.receive(io.BytesIO(data), commit, Limits(), staging, {}, approve=approve)


def test_a_tag_without_end_is_refused_before_it_is_read(store, staging):
    data = struct.pack(">cQ", b"g", 2**40)

    with pytest.raises(RevisionRejected, match="has 1099511627776 bytes"):
        handover.receive(io.BytesIO(data), "1" * 40, Limits(), staging, {}, approve=print)


def test_a_sender_that_leaves_the_tag_out_is_refused(store, staging):
    commit = store.files(text=b"text")

    with pytest.raises(RevisionRejected):
        handover.receive(io.BytesIO(exported(store, commit)), commit, Limits(), staging, {}, approve=print)
