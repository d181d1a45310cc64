import os
import shutil
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.errors import InvalidConfiguration, WorkerFailed
from nodeagent.source.checkout import claim
from nodeagent.source.checkout.checkout import Checkout
from nodeagent.source.checkout.handover import STAGING
from nodeagent.source.checkout.manifest import Entry, Item, Manifest
from nodeagent.source.store.objects import Kind, object_id

SCRIPT = b"#!/bin/sh\n"
BASE = {"post.sh": SCRIPT, "files/motd": b"welcome", "files/deep/er/conf": b"x = 1\n", "files/link": "../post.sh"}


def item(content):
    """A str is a link's target; bytes that begin with #! are an executable."""
    if isinstance(content, str):
        data = os.fsencode(content)
        return Item(entry=Entry.LINK, oid=object_id(Kind.BLOB, data), size=len(data), target=content)
    entry = Entry.EXECUTABLE if content.startswith(b"#!") else Entry.FILE
    return Item(entry=entry, oid=object_id(Kind.BLOB, content), size=len(content))


def manifest_of(tree):
    name = object_id(Kind.BLOB, repr(sorted(tree.items())).encode())
    return Manifest(
        commit=f"commit of {name}", tree=name, items={path: item(content) for path, content in tree.items()}
    )


def install(checkout, tree, *, leave_out=()):
    """Hand a tree over as the receiver does: only what the checkout does not have is staged."""
    manifest = manifest_of(tree)
    have = checkout.have()
    with checkout.staging() as staging:
        for content in tree.values():
            oid = item(content).oid
            if isinstance(content, bytes) and oid not in have and oid not in leave_out:
                (staging / oid).write_bytes(content)
        return checkout.install(manifest, staging)


def found(path):
    """What lies below a directory, as the trees above are written."""
    tree = {}
    for top, directories, files in os.walk(path):
        for name in (*directories, *files):
            full = os.path.join(top, name)
            if os.path.islink(full):
                tree[os.path.relpath(full, path)] = os.readlink(full)
            elif not os.path.isdir(full):
                with open(full, "rb") as stream:
                    tree[os.path.relpath(full, path)] = stream.read()
            elif not os.listdir(full):
                tree[os.path.relpath(full, path)] = None
    return tree


@pytest.fixture
def path(tmp_path):
    return tmp_path / "configs"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def checkout(path, state):
    return Checkout(path, state)


@pytest.fixture
def based(checkout):
    install(checkout, BASE)
    return checkout


# --- installing ------------------------------------------------------------------------------------------------


def test_the_first_install_makes_the_whole_tree(checkout, path):
    changed = install(checkout, BASE)

    assert found(path) == BASE
    assert changed == sorted(BASE)
    assert (checkout.commit, checkout.tree) == (manifest_of(BASE).commit, manifest_of(BASE).tree)


def test_modes_are_those_of_a_clone_and_the_top_is_closed(based, path):
    os.umask(0o022)
    modes = {name: stat.S_IMODE((path / name).stat().st_mode) for name in (".", "post.sh", "files", "files/motd")}
    assert modes == {".": 0o700, "post.sh": 0o755, "files": 0o755, "files/motd": 0o644}


def test_modes_do_not_depend_on_the_umask(checkout, path):
    before = os.umask(0o077)
    try:
        install(checkout, BASE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((path / "files/deep").stat().st_mode) == 0o755
    assert stat.S_IMODE((path / "files/motd").stat().st_mode) == 0o644


def test_installing_the_same_tree_again_changes_nothing(based, path):
    before = (path / "files/motd").stat()

    assert install(based, BASE) == []
    assert (path / "files/motd").stat() == before


def test_only_what_differs_is_touched(based, path):
    before = (path / "files/motd").stat()
    new = {**BASE, "post.sh": b"#!/bin/dash\n", "files/new": b"new"}
    del new["files/deep/er/conf"]

    changed = install(based, new)

    assert found(path) == new
    assert changed == ["files/deep", "files/new", "post.sh"]
    assert (path / "files/motd").stat() == before


@pytest.mark.parametrize(
    "new",
    [
        {"files": b"a file where a directory was"},
        {"files": "a link where a directory was"},
        {"files/motd/deeper": b"a directory where a file was"},
        {"files/link/deeper": b"a directory where a link was"},
        {"post.sh": "files/motd", "files/motd": b"x"},
        {"files/motd": SCRIPT},
        {},
    ],
)
def test_a_path_may_become_something_else(based, path, new):
    install(based, new)

    assert found(path) == new
    assert based.intact(manifest_of(new).tree)


def test_a_file_may_move_or_be_copied_without_being_sent_again(based, path):
    new = {"moved": BASE["files/motd"], "sub/copy": BASE["post.sh"], "post.sh": BASE["post.sh"]}

    install(based, new, leave_out={item(content).oid for content in BASE.values()})

    assert found(path) == new
    assert (path / "sub/copy").stat().st_ino != (path / "post.sh").stat().st_ino


def test_two_files_may_swap_their_content(based, path):
    new = {**BASE, "files/motd": BASE["files/deep/er/conf"], "files/deep/er/conf": BASE["files/motd"]}

    install(based, new)

    assert found(path) == new


def test_one_content_at_many_paths_with_both_modes_becomes_separate_files(checkout, path):
    tree = dict.fromkeys("abcd", b"same")
    install(checkout, tree)

    assert len({(path / name).stat().st_ino for name in "abcd"}) == 4


def test_a_file_whose_execute_bit_changes_gets_it(based, path):
    manifest = manifest_of(BASE)
    items = {**manifest.items, "files/motd": Item(entry=Entry.EXECUTABLE, oid=item(b"welcome").oid, size=7)}
    with based.staging() as staging:
        based.install(Manifest(commit="c", tree="t", items=items), staging)

    assert stat.S_IMODE((path / "files/motd").stat().st_mode) == 0o755


def test_names_that_are_no_utf8_survive_the_record(checkout, path, state):
    tree = {os.fsdecode(b"\xff\xe4"): b"x", "a\nb": b"y"}
    install(checkout, tree)

    assert Checkout(path, state).intact(manifest_of(tree).tree)
    assert install(Checkout(path, state), tree) == []


def test_what_is_not_in_the_tree_is_removed(based, path):
    (path / "untracked").write_text("x")
    (path / "files/untracked").mkdir()
    (path / "files/untracked/deep").write_text("x")
    os.mkfifo(path / "fifo")
    (path / "dangling").symlink_to("nowhere")

    changed = install(based, BASE)

    assert found(path) == BASE
    assert changed == ["dangling", "fifo", "files/untracked", "untracked"]


def test_nothing_is_written_or_removed_through_a_link(based, path, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "motd").write_text("precious")
    (outside / "other").write_text("precious")
    shutil.rmtree(path / "files")
    (path / "files").symlink_to(outside)
    (path / "post.sh").unlink()
    (path / "post.sh").symlink_to(outside / "other")

    install(based, BASE)

    assert found(path) == BASE
    assert found(outside) == {"motd": b"precious", "other": b"precious"}


def test_the_staging_directory_is_closed_and_gone_afterwards(checkout, path):
    with checkout.staging() as staging:
        assert stat.S_IMODE(staging.stat().st_mode) == 0o700
        assert staging.stat().st_dev == path.stat().st_dev
    assert os.listdir(path) == []

    with pytest.raises(KeyError), checkout.staging() as staging:
        {}[staging.touch()]
    assert os.listdir(path) == []


def test_what_cannot_be_written_is_named(checkout, path):
    with pytest.raises(WorkerFailed, match=f"{path}.*File exists.*next cycle"), checkout.staging() as staging:
        staging.mkdir()
    assert os.listdir(path) == []


def test_what_a_crash_left_in_the_staging_directory_is_removed(checkout, path):
    with checkout.staging():
        pass
    (path / STAGING).mkdir()
    (path / STAGING / "left").touch()

    with checkout.staging() as staging:
        assert os.listdir(staging) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_owners_are_put_right(based, path):
    for name in (".", "files", "files/motd", "post.sh"):
        os.chown(path / name, 1234, 1234)

    install(based, BASE)

    for name in (".", "files", "files/motd", "post.sh"):
        assert ((path / name).stat().st_uid, (path / name).stat().st_gid) == (0, 0)


# --- looking ---------------------------------------------------------------------------------------------------


def change(path, how):
    match how:
        case "content":
            (path / "files/motd").write_bytes(b"changed")
        case "content, size and mtime kept":
            before = (path / "files/motd").stat()
            (path / "files/motd").write_bytes(b"WELCOME")
            os.utime(path / "files/motd", ns=(before.st_atime_ns, before.st_mtime_ns))
        case "mode":
            (path / "post.sh").chmod(0o700)
        case "removed":
            (path / "files/motd").unlink()
        case "link":
            (path / "files/link").unlink()
            (path / "files/link").symlink_to("elsewhere")
        case "added":
            (path / "files/deep/untracked").touch()
        case "added at the top":
            (path / "untracked").touch()
        case "directory mode":
            (path / "files").chmod(0o700)
        case "directory gone":
            shutil.rmtree(path / "files")
        case "all gone":
            shutil.rmtree(path)


CHANGES = [
    "content",
    "content, size and mtime kept",
    "mode",
    "removed",
    "link",
    "added",
    "added at the top",
    "directory mode",
    "directory gone",
    "all gone",
]


def test_an_untouched_checkout_is_intact_also_for_another_process(based, path, state):
    tree = manifest_of(BASE).tree
    assert based.intact(tree)
    assert Checkout(path, state).intact(tree)
    assert not based.intact("another tree")
    assert not based.intact("")


def test_a_new_checkout_is_not_intact(checkout):
    assert not checkout.intact("")
    assert not checkout.intact("tree")
    assert (checkout.commit, checkout.tree, dict(checkout.have())) == ("", "", {})


@pytest.mark.parametrize("how", CHANGES)
def test_every_change_is_seen_and_the_next_install_mends_it(based, path, state, how):
    tree = manifest_of(BASE).tree
    change(path, how)

    assert not based.intact(tree)
    assert not Checkout(path, state).intact(tree)

    install(based, BASE)
    assert found(path) == BASE
    assert stat.S_IMODE((path / "post.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((path / "files").stat().st_mode) == 0o755
    assert based.intact(tree)


def test_have_names_the_blobs_of_files_that_nobody_touched(based, path):
    assert based.have() == {item(c).oid: len(c) for c in BASE.values() if isinstance(c, bytes)}

    change(path, "content, size and mtime kept")

    assert item(BASE["files/motd"]).oid not in based.have()
    assert item(BASE["post.sh"]).oid in based.have()


@pytest.mark.parametrize("how", CHANGES)
def test_what_an_evaluation_changed_counts_as_untouched_once_settled(based, path, state, how):
    tree = manifest_of(BASE).tree
    change(path, how)

    based.settle()

    assert based.intact(tree)
    assert Checkout(path, state).intact(tree)
    install(based, BASE)
    assert found(path) == BASE
    assert stat.S_IMODE((path / "post.sh").stat().st_mode) == 0o755


def test_a_change_after_settling_is_seen(based, path):
    change(path, "mode")
    based.settle()
    change(path, "content")

    assert not based.intact(manifest_of(BASE).tree)


def test_a_settled_file_is_had_only_with_its_own_content(based, path):
    change(path, "mode")
    change(path, "content, size and mtime kept")
    based.settle()

    assert item(BASE["post.sh"]).oid in based.have()
    assert item(BASE["files/motd"]).oid not in based.have()


def test_settling_an_untouched_checkout_writes_nothing(based, state):
    before = (state / "checkout.json").stat()
    based.settle()
    assert (state / "checkout.json").stat() == before


# --- the record ------------------------------------------------------------------------------------------------


def test_the_record_is_for_root_alone(based, state):
    assert stat.S_IMODE((state / "checkout.json").stat().st_mode) == 0o600
    assert os.listdir(state) == ["checkout.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"schema": 2}', b'{"schema": 1}', b"\xff\0"])
def test_a_damaged_record_is_an_empty_one_and_the_checkout_is_set_aside(based, path, state, content):
    (state / "checkout.json").write_bytes(content)
    again = Checkout(path, state)
    assert (again.commit, again.have()) == ("", {})

    install(again, BASE)

    assert found(path) == BASE
    assert found(path.with_name("configs.before-nodeagent")) == BASE


def test_the_record_of_another_path_does_not_count(based, path, state):
    other = Checkout(path.with_name("other"), state)

    assert (other.commit, other.have()) == ("", {})


class Crash(BaseException):
    """The process dies here."""


def dies_at(monkeypatch, after, job):
    """Run the job in a process that dies at its so-manieth change of the file system; whether it died."""
    left = after

    def crashing(function):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "rmdir", "symlink", "mkdir", "chmod"):
            patch.setattr(os, name, crashing(getattr(os, name)))
        try:
            job()
        except Crash:
            return True
    return False


NEW = {"post.sh": b"#!/bin/dash\n", "files/link": b"file", "other/a": b"1", "other/b": b"1", "l": "files/link"}


def test_a_crash_at_any_point_of_the_first_install_is_mended_by_the_next(path, state, monkeypatch):
    after = 0
    while dies_at(monkeypatch, after, lambda: install(Checkout(path, state), NEW)):
        again = Checkout(path, state)
        assert not again.intact(manifest_of(NEW).tree) or found(path) == NEW
        install(again, NEW)
        assert found(path) == NEW
        assert again.intact(manifest_of(NEW).tree)
        assert os.listdir(path.parent) in (["configs", "state"], ["state", "configs"])
        shutil.rmtree(path)
        shutil.rmtree(state)
        after += 1
    assert after > 15


def test_a_crash_at_any_point_of_a_later_install_is_mended_by_the_next(path, state, monkeypatch):
    install(Checkout(path, state), BASE)
    after = 0
    while dies_at(monkeypatch, after, lambda: install(Checkout(path, state), NEW)):
        again = Checkout(path, state)
        for tree in (BASE, NEW):
            assert not again.intact(manifest_of(tree).tree) or found(path) == tree
        install(again, NEW)
        assert found(path) == NEW
        assert again.intact(manifest_of(NEW).tree)
        install(again, BASE)
        after += 1
    assert after > 15


def test_a_file_that_changes_between_the_look_and_the_install_is_asked_for_again(based, path):
    manifest = manifest_of({"copy": BASE["files/motd"]})
    with based.staging() as staging:
        change(path, "content")
        with pytest.raises(WorkerFailed, match="next cycle"):
            based.install(manifest, staging)
    assert found(path)["post.sh"] == SCRIPT  # nothing was removed yet


# --- what was there before -------------------------------------------------------------------------------------


def test_an_empty_directory_is_taken(checkout, path):
    path.mkdir(mode=0o755)
    install(checkout, BASE)

    assert found(path) == BASE
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_clone_of_the_old_bootstrap_is_set_aside_whole(checkout, path):
    (path / ".git").mkdir(parents=True)
    (path / ".git/config").write_text("x")
    (path / "post.sh").write_text("old")

    install(checkout, BASE)

    assert found(path) == BASE
    assert found(path.with_name("configs.before-nodeagent")) == {".git/config": b"x", "post.sh": b"old"}


def test_each_clone_is_set_aside_under_its_own_name_until_there_are_too_many(path, state):
    for number in range(claim._MOST_SET_ASIDE):
        path.mkdir()
        (path / "post.sh").write_text(str(number))
        with Checkout(path, state).staging():
            pass
        shutil.rmtree(path)
        shutil.rmtree(state)
    assert len(list(path.parent.glob("configs.before-nodeagent*"))) == claim._MOST_SET_ASIDE

    path.mkdir()
    (path / "post.sh").touch()
    with pytest.raises(InvalidConfiguration, match="move it away"), Checkout(path, state).staging():
        pass


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_anything_else_at_the_path_is_left_alone(checkout, path, tmp_path, kind):
    match kind:
        case "directory":
            path.mkdir()
            (path / "passwd").write_text("precious")
        case "file":
            path.write_text("precious")
        case "link":
            (tmp_path / "etc").mkdir()
            (tmp_path / "etc/passwd").write_text("precious")
            path.symlink_to("etc")

    with pytest.raises(InvalidConfiguration, match=r"source\.checkout"), checkout.staging():
        pass
    assert "precious" in (path / "passwd" if kind != "file" else path).read_text()


# --- any tree after any other ----------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
contents = st.sampled_from([b"", b"1", b"22", SCRIPT, "a", "/etc"])
trees = st.recursive(
    st.dictionaries(names, contents, max_size=3),
    lambda inner: st.dictionaries(names, contents | inner, max_size=3),
    max_leaves=6,
)


def flat(tree, above=""):
    result = {}
    for name, content in tree.items():
        result.update(flat(content, f"{above}{name}/") if isinstance(content, dict) else {above + name: content})
    return result


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(trees.map(flat), min_size=2, max_size=4))
def test_any_tree_follows_any_other(tmp_path_factory, sequence):
    place = tmp_path_factory.mktemp("any")
    checkout = Checkout(place / "configs", place / "state")
    for tree in sequence:
        install(checkout, tree)
        assert found(place / "configs") == tree
        assert checkout.intact(manifest_of(tree).tree)


def test_a_revision_can_be_read_before_it_is_installed(tmp_path):
    checkout = Checkout(tmp_path / "configs", tmp_path / "state")
    install(checkout, BASE)
    tree = {**BASE, "post.sh": "lib/entry", "lib/entry": b"#!/bin/sh\nnew\n", "loop": "loop", "out": "/etc/passwd"}
    manifest = manifest_of(tree)
    with checkout.staging() as staging:
        (staging / item(tree["lib/entry"]).oid).write_bytes(tree["lib/entry"])
        assert checkout.read(manifest, staging, "post.sh") == b"#!/bin/sh\nnew\n"
        assert checkout.read(manifest, staging, "files/motd") == b"welcome"
        assert [checkout.read(manifest, staging, name) for name in ("loop", "out", "missing")] == [None] * 3
