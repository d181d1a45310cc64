import pytest

from nodeagent.ledger import changes, database


@pytest.fixture
def connection(tmp_path):
    with database.opened(tmp_path / "state", wait=False, warn=print) as connection:
        yield connection


def test_the_count_grows_with_each_change(connection):
    assert changes.tick(connection) == 0
    changes.note(connection, "/etc/a")
    changes.note(connection, "/etc/b")
    changes.note(connection, "/etc/a")
    assert changes.tick(connection) == 3


@pytest.mark.parametrize(
    ("watched", "found"),
    [
        (["/etc/slurm"], "/etc/slurm/slurm.conf"),
        (["/etc/slurm/slurm.conf"], "/etc/slurm/slurm.conf"),
        (["/etc/slurm/slurm"], ""),
        (["/etc/slur"], ""),
        (["/"], "/srv/x"),
        (["/nothing", "/etc/slurm"], "/etc/slurm/slurm.conf"),
        (["/etc/slurm-old", "/etc"], "/etc/slurm-old/a"),
    ],
)
def test_what_changed_at_or_under_a_path_is_named(connection, watched, found):
    for path in ("/etc/slurm/slurm.conf", "/etc/slurm-old/a", "/srv/x"):
        changes.note(connection, path)
    assert changes.under(connection, watched, 0) == found


def test_what_changed_before_does_not_count(connection):
    changes.note(connection, "/etc/a")
    since = changes.tick(connection)
    assert changes.under(connection, ["/etc"], since) == ""
    changes.note(connection, "/etc/b")
    changes.note(connection, "/etc/c")
    assert changes.under(connection, ["/etc"], since) == "/etc/c"


def test_a_watched_link_is_followed(connection, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    changes.note(connection, f"{tmp_path}/real/conf")
    assert changes.under(connection, [f"{tmp_path}/link"], 0) == f"{tmp_path}/real/conf"


def test_a_name_that_is_no_text_is_named_too(connection):
    changes.note(connection, "/etc/\udcff")
    assert changes.under(connection, ["/etc"], 0) == "/etc/\udcff"
