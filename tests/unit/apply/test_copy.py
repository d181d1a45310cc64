"""What is nodeagent's own in COPY; that it is rsync otherwise is shown in tests/integration/test_copy_rsync.py."""

import os
import resource
import stat

import pytest

from nodeagent.apply.atomic import temporary_name
from nodeagent.apply.copy import copy
from nodeagent.apply.rsync import parse
from nodeagent.model.evaluation import Change

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be given by root only")


class Copier:
    """Calls COPY with what post.sh's COPY function has, and gathers what is reported."""

    def __init__(self, top, destinations):
        self.top = top
        self.destinations = destinations
        self.reports = []

    def __call__(self, *sources, to, flags=("-a",), make_parent=True, umask=0o022, **declared):
        self.reports = []
        return copy(
            sources,
            to,
            cwd=str(self.top),
            umask=umask,
            options=parse(flags),
            make_parent=make_parent,
            destinations=self.destinations,
            report=self.reports.append,
            **declared,
        )

    @property
    def changes(self):
        return {os.path.relpath(report.path, self.top): report.change for report in self.reports}

    @property
    def reason(self):
        (failed,) = (report for report in self.reports if report.change is Change.FAILED)
        return failed.reason


@pytest.fixture
def top(tmp_path):
    return tmp_path.resolve()


@pytest.fixture
def cp(top, destinations):
    (top / "s").mkdir()
    return Copier(top, destinations)


def attributes(path):
    there = os.lstat(path)
    return stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid


def stamps(top):
    paths = [top, *top.rglob("*")]
    return {path: (os.lstat(path).st_ctime_ns, os.lstat(path).st_ino) for path in paths}


def test_missing_parents_are_made_with_the_umask(cp, top):
    (top / "s/f").write_text("x")
    assert cp("s/f", to="etc/deep/f", umask=0o027) == 0
    assert cp.changes == {"etc": Change.CREATED, "etc/deep": Change.CREATED, "etc/deep/f": Change.CREATED}
    assert attributes(top / "etc/deep")[0] == 0o750


def test_without_a_parent_nothing_is_copied(cp, top):
    (top / "s/f").write_text("x")
    assert cp("s/f", to="no/f", make_parent=False) == 3
    assert cp("s/f", to="no/f/", make_parent=False) == 11
    assert not (top / "no").exists()


def test_a_second_copy_reports_unchanged_and_touches_nothing(cp, top, destinations):
    (top / "s/d").mkdir()
    (top / "s/d/f").write_text("x")
    (top / "s/l").symlink_to("nowhere")
    os.mkfifo(top / "s/p")
    assert cp("s/", to="d") == 0
    destinations.next_evaluation()
    before = stamps(top)
    assert cp("s/", to="d") == 0
    assert set(cp.changes.values()) == {Change.UNCHANGED}
    assert set(cp.changes) == {"d", "d/d", "d/d/f", "d/l", "d/p"}
    assert stamps(top) == before


def test_content_decides_not_time(cp, top):
    (top / "s/f").write_text("x")
    cp("s/f", to="f")
    placed = os.stat(top / "f")
    os.utime(top / "s/f", (1, 1))
    cp("s/f", to="f")
    assert cp.changes == {"f": Change.UNCHANGED}
    assert os.stat(top / "f").st_mtime_ns == placed.st_mtime_ns
    (top / "s/f").write_text("y")
    os.utime(top / "s/f", ns=(placed.st_mtime_ns, placed.st_mtime_ns))
    cp("s/f", to="f")
    assert cp.changes == {"f": Change.UPDATED}
    assert (top / "f").read_text() == "y"


def test_many_files_in_many_directories_are_all_there_with_their_directories_times(cp, top):
    for n in range(300):
        directory = top / f"s/{n // 3:03}"
        directory.mkdir(exist_ok=True)
        (directory / str(n)).write_text(str(n))
    for directory in (top / "s").iterdir():
        os.utime(directory, (1, 1))
    descriptors = len(os.listdir("/proc/self/fd"))
    assert cp("s/", to="d") == 0
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert {p.name: p.read_text() for p in (top / "d").glob("*/*")} == {str(n): str(n) for n in range(300)}
    assert {int(directory.stat().st_mtime) for directory in (top / "d").iterdir()} == {1}


def test_a_file_that_waits_for_its_name_is_not_taken_for_a_source(cp, top):
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/b/c/new").write_text("new")
    (top / "b/c").mkdir(parents=True)
    (top / "b/c/old").write_text("old")
    assert cp("a/", "b/", to=".") == 0
    assert sorted(os.listdir(top / "b/c")) == ["new", "old"]
    assert set(os.listdir(top / "c")) <= {"new", "old"}


def test_a_file_of_many_megabytes_is_copied_compared_and_replaced(cp, top):
    blocks = [os.urandom(2**20) for _ in range(5)]
    (top / "s/f").write_bytes(b"".join(blocks))
    assert cp("s/f", to="f") == 0
    assert (top / "f").read_bytes() == b"".join(blocks)
    cp("s/f", to="f")
    assert cp.changes == {"f": Change.UNCHANGED}
    (top / "s/f").write_bytes(b"".join(reversed(blocks)))
    cp("s/f", to="f")
    assert cp.changes == {"f": Change.UPDATED}
    assert (top / "f").read_bytes() == b"".join(reversed(blocks))


@root_only
class TestAsTheEvaluationLeftIt:
    """A later step gives what was copied another mode or owner, as scripts do with munge.key."""

    @pytest.fixture
    def key(self, cp, top, destinations):
        (top / "s/key").write_text("secret")
        os.chmod(top / "s/key", 0o644)
        cp("s/key", to="key")
        os.chmod(top / "key", 0o400)
        os.chown(top / "key", 12, 34)
        destinations.next_evaluation()
        return top / "key"

    def test_nothing_is_done_when_it_is_as_it_was_left(self, cp, key, top):
        before = stamps(top)
        cp("s/key", to="key")
        assert cp.changes == {"key": Change.UNCHANGED}
        assert stamps(top) == before

    def test_a_changed_mode_is_put_back_to_what_it_was_left_with(self, cp, key):
        os.chmod(key, 0o666)
        cp("s/key", to="key")
        assert cp.changes == {"key": Change.UPDATED}
        assert attributes(key) == (0o400, 12, 34)

    def test_a_changed_content_is_put_back_with_the_mode_it_was_left_with(self, cp, key):
        key.write_text("forged")
        cp("s/key", to="key")
        assert (key.read_text(), attributes(key)) == ("secret", (0o400, 12, 34))

    def test_a_removed_file_comes_back_with_the_mode_it_was_left_with(self, cp, key):
        key.unlink()
        cp("s/key", to="key")
        assert cp.changes == {"key": Change.CREATED}
        assert (key.read_text(), attributes(key)) == ("secret", (0o400, 12, 34))

    def test_a_new_content_in_the_repository_comes_with_the_repository_s_mode(self, cp, key, top):
        (top / "s/key").write_text("another")
        cp("s/key", to="key")
        assert (key.read_text(), attributes(key)) == ("another", (0o644, 0, 0))

    def test_a_link_comes_back_with_the_owner_it_was_left_with(self, cp, top, destinations):
        (top / "s/l").symlink_to("x")
        cp("s/l", to="l")
        os.chown(top / "l", 12, 34, follow_symlinks=False)
        destinations.next_evaluation()
        cp("s/l", to="l")
        assert cp.changes == {"l": Change.UNCHANGED}
        destinations.next_evaluation()
        os.chown(top / "l", 5, 6, follow_symlinks=False)
        cp("s/l", to="l")
        destinations.next_evaluation()
        assert attributes(top / "l")[1:] == (12, 34)
        os.unlink(top / "l")
        cp("s/l", to="l")
        assert attributes(top / "l")[1:] == (12, 34)

    def test_a_directory_comes_back_with_the_mode_it_was_left_with(self, cp, top, destinations):
        (top / "s/d").mkdir()
        cp("s/", to="d")
        os.chmod(top / "d/d", 0o700)
        destinations.next_evaluation()
        os.rmdir(top / "d/d")
        cp("s/", to="d")
        assert attributes(top / "d/d")[0] == 0o700

    def test_a_content_that_a_later_step_changed_is_the_source_s_again_when_it_drifts(self, cp, top, destinations):
        (top / "s/f").write_text("from the repository")
        cp("s/f", to="f")
        (top / "f").write_text("as sed left it")
        os.chmod(top / "f", 0o600)
        destinations.next_evaluation()
        cp("s/f", to="f")
        assert cp.changes == {"f": Change.UNCHANGED}
        destinations.next_evaluation()
        (top / "f").write_text("by hand")
        cp("s/f", to="f")
        assert ((top / "f").read_text(), attributes(top / "f")[0]) == ("from the repository", 0o600)


@root_only
def test_an_existing_directory_keeps_its_mode_and_owner(cp, top):
    (top / "s/d").mkdir(mode=0o755)
    (top / "d/d").mkdir(parents=True, mode=0o700)
    os.chown(top / "d/d", 12, 34)
    cp("s/", to="d")
    assert attributes(top / "d/d") == (0o700, 12, 34)


def test_what_stood_there_is_kept_before_it_is_changed(cp, top, destinations):
    (top / "s/f").write_text("new")
    (top / "s/l").symlink_to("new")
    (top / "s/same").write_text("same")
    (top / "d").mkdir()
    (top / "d/f").write_text("old")
    (top / "d/l").symlink_to("old")
    (top / "d/same").write_text("same")
    os.chmod(top / "d/same", 0o600)
    cp("s/", to="d")
    kept = {os.path.basename(path): content for path, content in destinations.kept.items()}
    assert kept == {"f": b"old", "l": "old", "same": b"same"}


def test_what_is_deleted_is_kept_and_reported(cp, top, destinations):
    (top / "s/f").write_text("x")
    (top / "d/sub").mkdir(parents=True)
    (top / "d/sub/old").write_text("old")
    cp("s/", to="d", flags=["-a", "--delete"])
    assert not (top / "d/sub").exists()
    assert list(destinations.kept.values()) == [b"old"]
    assert cp.changes["d/sub/old"] is Change.PRUNED
    assert cp.changes["d/sub"] is Change.PRUNED


def test_what_cannot_be_kept_is_not_replaced(cp, top, destinations):
    class Full(type(destinations)):
        def keep(self, path):
            raise OSError(28, "No space left on device")

    (top / "s/f").write_text("new")
    (top / "f").write_text("old")
    cp.destinations = Full()
    assert cp("s/f", to="f") == 23
    assert "No space left" in cp.reason
    assert (top / "f").read_text() == "old"
    assert sorted(os.listdir(top)) == ["f", "s"]


def test_a_missing_source_fails_and_the_rest_goes_on(cp, top):
    (top / "s/f").write_text("x")
    assert cp("s/no", "s/f", to="d/") == 23
    assert cp.reason == f'rsync: link_stat "{top}/s/no" failed: No such file or directory (2)'
    assert (top / "d/f").read_text() == "x"


def test_a_failure_names_the_destination(cp, top):
    assert cp("s/munge.key", to="etc/munge.key") == 23
    assert cp.changes["etc/munge.key"] is Change.FAILED


def test_a_full_disk_fails_that_file_and_the_rest_goes_on(cp, top):
    (top / "s/big").write_bytes(b"x" * 5000)
    (top / "s/small").write_text("x")
    (top / "d").mkdir()
    (top / "d/big").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert cp("s/", to="d") == 23
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cp.changes == {"d": Change.UNCHANGED, "d/big": Change.FAILED, "d/small": Change.CREATED}
    assert cp.reason.endswith("failed: File too large (27)")
    assert (top / "d/big").read_text() == "old"
    assert sorted(os.listdir(top / "d")) == ["big", "small"]


def test_a_directory_that_is_not_empty_does_not_make_way_and_nothing_is_touched(cp, top):
    (top / "s/f").write_text("x")
    (top / "d/f/x").mkdir(parents=True)
    before = stamps(top)
    assert cp("s/f", to="d/") == 23
    assert "cannot delete non-empty directory" in cp.reason
    assert stamps(top) == before


def test_a_temporary_that_a_killed_run_left_is_gone_after_the_next_copy(cp, top):
    (top / "s/f").write_text("x")
    (top / "d").mkdir()
    (top / "d" / temporary_name("f")).write_text("half")
    cp("s/", to="d")
    assert os.listdir(top / "d") == ["f"]


def test_a_source_that_contains_the_destination_ends(cp, top):
    (top / "s/f").write_text("x")
    (top / "s/d").mkdir()
    assert cp("s/", to="s/d") == 0
    assert sorted(path.name for path in (top / "s/d").rglob("*")) == ["d", "f"]


def test_directories_nested_without_end_fail_and_do_not_crash(cp, top):
    deep = top / "s"
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(350):
        os.mkdir("x", dir_fd=fd)
        below = os.open("x", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert cp("s/", to="d") == 23
    assert "nested" in cp.reason


@root_only
class TestInSomebodyElsesDirectory:
    @pytest.fixture
    def home(self, top):
        home = top / "home"
        home.mkdir()
        os.chown(home, 1234, 1234)
        return home

    def test_a_file_is_placed(self, cp, top, home):
        (top / "s/f").write_text("x")
        assert cp("s/f", to="home/.profile") == 0
        assert (home / ".profile").read_text() == "x"

    def test_a_planted_link_to_a_directory_is_not_followed(self, cp, top, home):
        (top / "s/f").write_text("x")
        (top / "s/d").mkdir()
        (top / "s/d/f").write_text("x")
        (top / "etc").mkdir()
        (home / "link").symlink_to(top / "etc")
        (home / "d").symlink_to(top / "etc")
        assert cp("s/f", to="home/link/f") == 3
        assert "not followed" in cp.reason
        assert cp("s/f", to="home/link") == 3
        assert cp("s/d", to="home/") == 0
        assert os.listdir(top / "etc") == []
        assert (home / "d/f").read_text() == "x"

    def test_a_planted_second_name_of_another_file_gets_no_new_mode(self, cp, top, home):
        (top / "s/f").write_text("x")
        (top / "shadow").write_text("x")
        os.chmod(top / "shadow", 0o600)
        os.link(top / "shadow", home / "f")
        assert cp("s/f", to="home/f") == 0
        assert attributes(top / "shadow")[0] == 0o600
        assert attributes(home / "f")[0] == 0o644


def test_each_destination_is_reported_and_noted_once(cp, top, destinations):
    (top / "s/d").mkdir()
    (top / "s/d/f").write_text("x")
    cp("s/", to="d")
    reported = [report.path for report in cp.reports]
    assert len(reported) == len(set(reported))
    assert [path for path, _, _ in destinations.log] == reported


def test_no_descriptor_stays_open_whatever_goes_wrong(cp, top):
    (top / "s/d/e").mkdir(parents=True)
    (top / "s/d/f").write_text("x")
    (top / "s/f").write_text("x")
    (top / "d/f/x").mkdir(parents=True)
    (top / "file").touch()
    (top / "loop").symlink_to("loop")
    before = sorted(os.listdir("/proc/self/fd"))
    for to in ("d", "d/", "file", "file/", "file/x", "loop/x", "loop", "new", "new/", "no/new"):
        cp("s/", "s/no", "s/f", to=to, make_parent=False)
        cp("s/f", to=to, flags=["-a", "--mkpath"], make_parent=False)
    assert sorted(os.listdir("/proc/self/fd")) == before


@root_only
class TestDeclared:
    """``# nodeagent: mode=0400 owner=daemon:bin`` beside a COPY."""

    def test_a_file_gets_the_mode_and_the_owner(self, cp, top):
        (top / "s/key").write_text("secret")
        assert cp("s/key", to="etc/key", mode=0o400, user="daemon", group="bin") == 0
        assert attributes(top / "etc/key") == (0o400, 1, 2)

    def test_of_a_directory_the_files_get_the_mode_and_what_is_made_gets_the_owner(self, cp, top):
        (top / "s/d").mkdir(mode=0o755)
        (top / "s/d/key").write_text("secret")
        (top / "s/l").symlink_to("key")
        (top / "d").mkdir(mode=0o711)
        assert cp("s/", to="d", mode=0o400, user="1", group="2") == 0
        assert attributes(top / "d/d/key") == (0o400, 1, 2)
        assert attributes(top / "d/d") == (0o755, 1, 2)
        assert attributes(top / "d/l") == (0o777, 1, 2)
        assert attributes(top / "d") == (0o711, 0, 0)

    def test_what_is_declared_goes_before_what_the_flags_say(self, cp, top):
        (top / "s/key").write_text("secret")
        (top / "key").write_text("secret")
        assert cp("s/key", to="key", flags=["-r", "--chmod=F666"], mode=0o400, user="daemon") == 0
        assert attributes(top / "key") == (0o400, 1, 0)

    def test_a_declared_mode_and_owner_that_drifted_are_put_back(self, cp, top, destinations):
        (top / "s/key").write_text("secret")
        cp("s/key", to="key", mode=0o400, user="daemon")
        destinations.next_evaluation()
        os.chmod(top / "key", 0o644)
        os.chown(top / "key", 0, 0)
        cp("s/key", to="key", mode=0o400, user="daemon")
        assert cp.changes == {"key": Change.UPDATED}
        assert attributes(top / "key") == (0o400, 1, 0)

    def test_another_declaration_changes_a_file_that_is_as_it_was_left(self, cp, top, destinations):
        (top / "s/key").write_text("secret")
        cp("s/key", to="key", mode=0o400)
        destinations.next_evaluation()
        cp("s/key", to="key", mode=0o440, group="bin")
        assert attributes(top / "key") == (0o440, 0, 2)

    def test_an_unknown_owner_is_named_and_nothing_is_placed(self, cp, top):
        (top / "s/key").write_text("secret")
        assert cp("s/key", to="key", mode=0o400, user="no-such-user", group="bin") == 23
        assert cp.reason == (
            "owner=no-such-user:bin: there is no user no-such-user on this node: create it in a line above"
        )
        assert not (top / "key").exists()
        assert cp("s/key", to="key", user="root", group="no-such-group") == 23
        assert "there is no group no-such-group" in cp.reason


@root_only
class TestChown:
    def test_owners_are_given_by_name(self, cp, top):
        (top / "s/f").write_text("x")
        assert cp("s/f", to="f", flags=["-a", "--chown=daemon:bin"]) == 0
        assert attributes(top / "f") == (0o644, 1, 2)

    def test_an_unknown_user_is_named_and_the_rest_is_done_as_rsync_does(self, cp, top):
        (top / "s/f").write_text("x")
        assert cp("s/f", to="f", flags=["-a", "--chown=no-such-user:bin"]) == 0
        assert cp.reason == "rsync: --chown: there is no user no-such-user on this node: create it in a line above"
        assert attributes(top / "f") == (0o644, 0, 2)


def test_a_directory_that_exists_gets_a_mode_that_is_said_of_directories_expressly(cp, top):
    (top / "s/d").mkdir(mode=0o755)
    (top / "d/d").mkdir(parents=True, mode=0o755)
    cp("s/", to="d", flags=["-a", "--chmod=go-rx"])
    assert attributes(top / "d/d")[0] == 0o755
    cp("s/", to="d", flags=["-a", "--chmod=D700"])
    assert attributes(top / "d/d")[0] == 0o700
    assert cp.changes == {"d": Change.UPDATED, "d/d": Change.UPDATED}


def test_what_is_excluded_survives_a_deletion_with_the_directories_above_it(cp, top):
    (top / "d/old/sub").mkdir(parents=True)
    (top / "d/old/sub/keep.me").touch()
    (top / "d/old/gone").touch()
    (top / "d/keep.too").touch()
    assert cp("s/", to="d", flags=["-a", "--delete", "--exclude=keep.*"]) == 0
    assert (top / "d/old/sub/keep.me").exists()
    assert (top / "d/keep.too").exists()
    assert not (top / "d/old/gone").exists()
    assert cp("s/", to="d", flags=["-a", "--delete", "--delete-excluded", "--exclude=keep.*"]) == 0
    assert not (top / "d/old").exists()


def test_a_directory_makes_way_with_force_unless_something_in_it_is_protected(cp, top):
    (top / "s/f").write_text("x")
    (top / "d/f").mkdir(parents=True)
    (top / "d/f/keep.me").touch()
    assert cp("s/f", to="d/", flags=["-a", "--force", "--exclude=keep.*"]) == 23
    assert "could not make way" in cp.reason
    assert (top / "d/f/keep.me").exists()
    assert cp("s/f", to="d/", flags=["-a", "--force"]) == 0
    assert (top / "d/f").read_text() == "x"
    assert os.listdir(top / "d") == ["f"]
