import errno
import os

import pytest

from nodeagent.apply.paths import locate, open_directory

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="directories of other users can be made by root only")


@pytest.fixture
def top(tmp_path):
    return os.path.realpath(tmp_path)


def located(path, cwd="/", *, follow=True):
    with locate(path, cwd=cwd, follow=follow) as place:
        return place.path


def test_a_relative_path_starts_where_the_shell_stands(top):
    os.mkdir(f"{top}/d")
    assert located("d/./../d//f", top) == f"{top}/d/f"


def test_a_path_may_go_above_the_root():
    assert located("/../../etc/f") == "/etc/f"


def test_links_to_directories_are_resolved(top):
    os.makedirs(f"{top}/real/deep")
    os.symlink("real/deep/", f"{top}/relative")
    os.symlink(f"{top}/real", f"{top}/absolute")
    assert located("relative/f", top) == f"{top}/real/deep/f"
    assert located("absolute/deep/f", top) == f"{top}/real/deep/f"
    assert located("relative/../f", top) == f"{top}/real/f"


def test_a_link_in_the_last_place_is_followed_only_when_that_is_asked_for(top):
    os.symlink("elsewhere", f"{top}/link")
    os.symlink("link", f"{top}/second")
    assert located("second", top) == f"{top}/elsewhere"
    assert located("second", top, follow=False) == f"{top}/second"


@pytest.mark.parametrize("path", ["d/", "d/.", "d/..", "/", ".", "to_d"])
def test_what_can_only_be_a_directory_is_no_place_for_a_file(top, path):
    os.mkdir(f"{top}/d")
    os.symlink("d/", f"{top}/to_d")
    with pytest.raises(IsADirectoryError):
        located(path, top)


def test_a_missing_directory_is_an_error(top):
    with pytest.raises(FileNotFoundError):
        located("no/f", top)


def test_a_file_in_the_place_of_a_directory_is_an_error(top):
    open(f"{top}/file", "w").close()
    with pytest.raises(NotADirectoryError):
        located("file/f", top)


def test_links_that_lead_to_one_another_are_an_error(top):
    os.symlink("b", f"{top}/a")
    os.symlink("a", f"{top}/b")
    with pytest.raises(OSError, match="Too many levels") as raised:
        located("a/f", top)
    assert raised.value.errno == errno.ELOOP


def test_a_directory_is_opened_through_links(top):
    os.mkdir(f"{top}/d")
    os.symlink("d", f"{top}/link")
    for path in ("d", "d/", "link", "link/", "d/../link/."):
        with open_directory(path, cwd=top) as directory:
            assert (directory.path, directory.trusted) == (f"{top}/d", True)


def test_what_is_opened_stays_the_same_directory_when_its_name_is_given_to_another(top):
    os.mkdir(f"{top}/d")
    os.mkdir(f"{top}/trap")
    with locate("d/f", cwd=top, follow=True) as place:
        os.rename(f"{top}/d", f"{top}/away")
        os.symlink("trap", f"{top}/d")
        os.close(os.open(place.name, os.O_CREAT | os.O_WRONLY, dir_fd=place.directory.fd))
    assert os.listdir(f"{top}/trap") == []
    assert os.listdir(f"{top}/away") == ["f"]


@root_only
class TestOthersLinks:
    """Somebody who is not root plants a link where root writes."""

    @pytest.mark.parametrize(("mode", "owner"), [(0o755, 1234), (0o777, 0), (0o775, 0)])
    def test_a_link_in_a_directory_that_others_may_change_is_not_followed(self, top, mode, owner):
        os.mkdir(f"{top}/theirs")
        os.chown(f"{top}/theirs", owner, owner)
        os.chmod(f"{top}/theirs", mode)
        os.symlink("/etc", f"{top}/theirs/link")
        for path in ("theirs/link/f", "theirs/link"):
            with pytest.raises(OSError, match="not followed"):
                located(path, top)
        with pytest.raises(OSError, match="not followed"):
            open_directory("theirs/link", cwd=top)

    def test_a_file_in_such_a_directory_can_be_placed_nevertheless(self, top):
        os.mkdir(f"{top}/theirs")
        os.chown(f"{top}/theirs", 1234, 1234)
        os.symlink("/etc/passwd", f"{top}/theirs/link")
        assert located("theirs/f", top) == f"{top}/theirs/f"
        assert located("theirs/link", top, follow=False) == f"{top}/theirs/link"

    def test_in_a_sticky_directory_only_links_of_root_are_followed(self, top):
        os.mkdir(f"{top}/tmp")
        os.chmod(f"{top}/tmp", 0o1777)
        os.symlink("/etc", f"{top}/tmp/ours")
        os.symlink("/etc", f"{top}/tmp/theirs")
        os.chown(f"{top}/tmp/theirs", 1234, 1234, follow_symlinks=False)
        assert located("tmp/ours/f", top) == "/etc/f"
        with pytest.raises(OSError, match="not followed"):
            located("tmp/theirs/f", top)

    def test_a_good_directory_below_somebody_else_s_is_not_trusted(self, top):
        """Its owner can put another one of root's in its place."""
        os.makedirs(f"{top}/theirs/ours")
        os.chown(f"{top}/theirs", 1234, 1234)
        os.symlink("/etc", f"{top}/theirs/ours/link")
        with pytest.raises(OSError, match="not followed"):
            located("theirs/ours/link/f", top)

    def test_trust_comes_back_on_the_way_up(self, top):
        os.makedirs(f"{top}/theirs/ours")
        os.chown(f"{top}/theirs", 1234, 1234)
        os.symlink("/etc", f"{top}/link")
        assert located("theirs/ours/../../link/f", top) == "/etc/f"
