"""``undo`` and ``redo`` through the command line, over what real evaluations have placed."""

import io
import json
import os
import stat

import pytest

from nodeagent import node
from nodeagent.cli import main
from nodeagent.ledger import database, watch
from nodeagent.model.evaluation import Change, Scope


def state_of(root):
    """Path, mode, owner, type and content of everything below."""
    found = {}
    for path in sorted(root.rglob("*")):
        s = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (oct(s.st_mode), s.st_uid, s.st_gid, content)
    return found


EVERYTHING = """
COPY files/motd $D/motd
COPY files/motd $D/new/deep/motd
COPY files/motd $D/link
COPY files/tree/ $D/tree/
echo appended >>$D/hosts
echo alone >>$D/created
echo vm >$D/name
chmod 0600 $D/name
ln -sfn /else $D/by-a-step
"""


@pytest.fixture
def before(local):
    """A tree in which post.sh replaces, appends to and creates things; how it looks before."""
    (local.root / "motd").write_text("old\n")
    (local.root / "motd").chmod(0o640)
    os.chown(local.root / "motd", 3, 4)
    (local.root / "link").symlink_to("somewhere")
    (local.root / "hosts").write_text("127.0.0.1 localhost\n")
    (local.root / "hosts").chmod(0o664)
    (local.root / "name").write_text("old name\n")
    (local.root / "tree/sub").mkdir(parents=True)
    (local.root / "tree/sub/a").write_text("old a")
    (local.repository / "files/tree/sub").mkdir(parents=True)
    (local.repository / "files/tree/more").mkdir()
    (local.repository / "files/tree/sub/a").write_text("new a")
    (local.repository / "files/tree/more/b").symlink_to("a")
    return state_of(local.root)


def test_undo_of_everything_leaves_the_node_as_it_was(local, verb, before):
    local.apply(EVERYTHING)
    assert state_of(local.root) != before
    said = verb("undo", "--yes", "--repo", local.repository)
    after = state_of(local.root)
    assert after.pop("by-a-step")  # what steps do is not undone
    assert after == before
    assert f"{local.root}/motd: put back as it was before nodeagent" in said
    assert f"{local.root}/new: removed" in said
    assert verb("undo", "--yes", "--repo", local.repository) == ""


def test_after_everything_was_undone_apply_begins_anew(local, verb, before):
    local.apply(f"{EVERYTHING}\nsh -c 'echo ran >>$0' $D/ran.log")
    placed = state_of(local.root)
    verb("undo", "--yes", "--repo", local.repository)
    again = local.apply(f"{EVERYTHING}\nsh -c 'echo ran >>$0' $D/ran.log")
    assert again.scope is Scope.FULL
    assert (local.root / "ran.log").read_text() == "ran\nran\n"
    assert {**state_of(local.root), "ran.log": None} == {**placed, "ran.log": None}


def test_a_dry_run_says_the_same_and_touches_nothing(local, verb, before):
    local.apply(EVERYTHING)
    placed = state_of(local.root)
    ledger = (local.state / "ledger.db").read_bytes()
    planned = verb("undo", "--dry-run", "--repo", local.repository)
    assert state_of(local.root) == placed
    assert (local.state / "ledger.db").read_bytes() == ledger
    assert planned == verb("undo", "--yes", "--repo", local.repository)


def test_undo_of_everything_wants_to_be_meant(local, verb, before, monkeypatch, capsys):
    local.apply(EVERYTHING)
    placed = state_of(local.root)
    arguments = ["undo", "--config", str(local.config), "--repo", str(local.repository)]
    assert main.call(arguments) == 1
    assert "--yes" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for answer, code in (("n\n", 1), ("\n", 1), ("", 1), ("y\n", 0)):
        assert state_of(local.root) == placed
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert main.call(arguments) == code
        assert "Undo all " in capsys.readouterr().out
    assert state_of(local.root) != placed


def test_what_was_undone_stays_so_until_redo(local, verb, before):
    local.apply(EVERYTHING)
    placed = state_of(local.root)
    names = ("motd", "new", "link", "hosts", "created", "name")
    verb("undo", *(local.root / name for name in names))
    undone = state_of(local.root)
    assert {name: undone.get(name) for name in names} == {name: before.get(name) for name in names}
    assert undone["tree/sub/a"] == placed["tree/sub/a"]
    for wishes in ({}, {"force": True}):
        local.apply(EVERYTHING, **wishes)
        (local.root / "name").chmod(0o644)  # a step gives it another mode when it runs
        assert state_of(local.root) == undone
    assert f"{local.root}/motd: is nodeagent's again" in verb("redo", local.root / "motd", local.root / "new")
    done = local.apply(EVERYTHING)
    assert done.counts[Change.CREATED] == 3
    assert (local.root / "motd").read_text() == "hello\n"
    assert (local.root / "hosts").read_text() == "127.0.0.1 localhost\n"
    verb("redo")
    local.apply(EVERYTHING, force=True)
    assert state_of(local.root) == placed
    verb("undo", *(local.root / name for name in names))
    assert state_of(local.root) == undone  # what stood there first was kept again


def test_a_file_that_came_back_does_not_make_way_for_a_directory_again(local, verb):
    (local.root / "tree").write_text("old\n")
    (local.repository / "files/tree").mkdir()
    (local.repository / "files/tree/a").write_text("a")
    body = "COPY files/tree $D/"
    local.apply(body)
    assert (local.root / "tree/a").read_text() == "a"
    verb("undo", local.root / "tree")
    assert (local.root / "tree").read_text() == "old\n"
    local.apply(body, force=True)
    assert (local.root / "tree").read_text() == "old\n"


def test_what_was_changed_since_is_not_lost_unless_forced(local, verb, before):
    local.apply(EVERYTHING)
    (local.root / "motd").write_text("mine")
    (local.root / "name").chmod(0o604)
    said = verb("undo", local.root / "motd", local.root / "name", status=1)
    assert f"{local.root}/motd: refused: its content is another: --force loses that" in said
    assert f"{local.root}/name: refused: its mode is 0604, and was left as 0600: --force loses that" in said
    assert (local.root / "motd").read_text() == "mine"
    verb("undo", "--force", local.root / "motd", local.root / "name")
    assert (local.root / "motd").read_text() == "old\n"


def test_the_text_of_others_stays_when_appended_text_is_undone(local, verb, before):
    local.apply(EVERYTHING)
    for name in ("hosts", "created"):
        with (local.root / name).open("a") as file:
            file.write("theirs\n")
    verb("undo", local.root / "hosts", local.root / "created")
    assert (local.root / "hosts").read_text() == "127.0.0.1 localhost\ntheirs\n"
    assert (local.root / "created").read_text() == "theirs\n"
    assert stat.S_IMODE((local.root / "hosts").stat().st_mode) == 0o664


def test_a_directory_that_others_use_stays(local, verb, before):
    local.apply(EVERYTHING)
    (local.root / "new/theirs").write_text("x")
    said = verb("undo", local.root / "new")
    assert f"{local.root}/new: left: a directory that is not empty" in said
    assert os.listdir(local.root / "new") == ["theirs"]


def test_what_was_too_large_to_be_kept_is_not_undone(local, verb):
    (local.root / "motd").write_text("old, and long\n")
    local.apply("COPY files/motd $D/motd", keep_bytes=5)
    assert "too large to be kept" in verb("why", local.root / "motd")
    said = verb("undo", "--force", local.root / "motd", status=1)
    assert "refused: what stood there was larger than ledger.keep_bytes" in said
    assert (local.root / "motd").read_text() == "hello\n"


def test_what_delete_removed_comes_back(local, verb):
    (local.root / "tree").mkdir()
    (local.root / "tree/old").write_text("old")
    (local.repository / "files/tree").mkdir()
    (local.repository / "files/tree/new").write_text("new")
    local.apply("rsync -a --delete files/tree/ $D/tree/")
    assert not (local.root / "tree/old").exists()
    assert "removed what stood here" in verb("why", local.root / "tree/old")
    verb("undo", local.root / "tree")
    assert (local.root / "tree/old").read_text() == "old"
    assert not (local.root / "tree/new").exists()


def test_a_lost_copy_is_told_and_leaves_what_stands_there(local, verb, before):
    local.apply(EVERYTHING)
    os.unlink(json.loads(verb("why", "--json", local.root / "motd"))["before"]["copy"])
    assert "motd: cannot be undone: No such file" in verb("undo", local.root / "motd", status=1)
    assert (local.root / "motd").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["undo", "/nowhere"], "/nowhere: is not nodeagent's"),
        (["redo", "/nowhere"], "/nowhere: was not undone"),
        (["undo", "--yes"], "nothing of it was ever applied here"),
    ],
)
def test_what_cannot_be_meant_is_said(local, capsys, arguments, words):
    local.apply("true")
    verb, *rest = arguments
    assert main.call([verb, "--config", str(local.config), *rest]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["undo", "redo"])
def test_without_a_ledger_there_is_nothing_to_undo(local, capsys, verb):
    assert main.call([verb, "--config", str(local.config), "/etc/motd"]) == 1
    assert "there is no ledger" in capsys.readouterr().err
    assert not local.state.exists()


def test_undo_waits_for_nobody(local, capfd):
    local.apply("COPY files/motd $D/motd")
    with database.opened(local.state, wait=False, warn=print):  # the lock is this process's: another one asks
        child = os.fork()
        if child == 0:
            os._exit(main.call(["undo", "--config", str(local.config), str(local.root / "motd")]))
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 75
    assert (local.root / "motd").exists()
    assert "another nodeagent" in capfd.readouterr().err


def test_the_daemon_looks_again_after_an_undo(local, verb):
    local.apply("COPY files/motd $D/motd")
    runtime = local.top / "run"
    watch.write(runtime, node.boot_id(), [])
    verb("undo", local.root / "motd")
    assert watch.look(runtime, node.boot_id()) is None


ADDED = "echo ours >>$D/hosts; echo alone >>$D/new\nCOPY files/tree/ $D/tree/"


@pytest.mark.parametrize("whole", ["COPY files/hosts $D/$n", "cat files/hosts >$D/$n"])
def test_what_others_wrote_beside_appended_text_comes_back_from_under_a_whole_file(local, verb, before, whole):
    local.apply(ADDED)
    for name in ("hosts", "new"):
        with (local.root / name).open("a") as file:
            file.write("the admin's\n")
    (local.root / "hosts").chmod(0o640)
    (local.repository / "files/hosts").write_text("whole\n")
    local.apply("\n".join(whole.replace("$n", name) for name in ("hosts", "new")))
    assert (local.root / "hosts").read_text() == (local.root / "new").read_text() == "whole\n"
    verb("undo", local.root / "hosts", local.root / "new")
    assert (local.root / "hosts").read_text() == "127.0.0.1 localhost\nthe admin's\n"
    assert stat.S_IMODE((local.root / "hosts").stat().st_mode) == 0o640
    assert (local.root / "new").read_text() == "the admin's\n"


def test_of_a_file_that_is_copied_and_appended_to_undo_loses_no_edit_unless_forced(local, verb, before):
    (local.root / "motd").write_text("the image's\n")
    local.apply("COPY files/motd $D/motd\necho more >>$D/motd")
    assert (local.root / "motd").read_text().endswith("more\n")
    with (local.root / "motd").open("a") as file:
        file.write("the admin's\n")
    said = verb("undo", local.root / "motd", status=1)
    assert "its content is another" in said
    assert (local.root / "motd").read_text().endswith("the admin's\n")
    verb("undo", "--force", local.root / "motd")
    assert (local.root / "motd").read_text() == "the image's\n"
