import errno
import fcntl
import os
import signal
import sqlite3  # noqa: TID251 - to make a ledger of another version
import struct

import pytest

from nodeagent.errors import LedgerUnavailable, NodeUnusable, NotNow
from nodeagent.ledger import database, origin
from nodeagent.ledger.schema import STEPS
from nodeagent.ledger.sources import Renewal, Source
from nodeagent.model.evaluation import Revision, Scope, Trigger


def in_child(job):
    pid = os.fork()
    if pid == 0:
        try:
            job()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


FILL = "INSERT INTO block (path, position, statement, text, adopted) VALUES (?, ?, '', ?, 0)"


@pytest.fixture
def warnings():
    return []


def test_only_one_process_has_the_ledger(tmp_path, warnings):
    def open_too():
        with pytest.raises(NotNow, match="another nodeagent"), database.opened(tmp_path, wait=False, warn=print):
            pass

    with database.opened(tmp_path, wait=False, warn=warnings.append):
        in_child(open_too)
    with database.opened(tmp_path, wait=False, warn=warnings.append):
        pass
    assert warnings == []


def test_a_killed_holder_leaves_no_lock(tmp_path):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with database.opened(tmp_path, wait=False, warn=print):
            os.write(write, b"x")
            signal.pause()
    os.read(read, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    with database.opened(tmp_path, wait=False, warn=print):
        pass


def test_the_ledger_is_for_root_alone(tmp_path):
    with database.opened(tmp_path / "state", wait=False, warn=print):
        pass
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/ledger.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_ledger_is_moved_aside_with_a_warning(tmp_path, warnings, content):
    (tmp_path / "ledger.db").write_bytes(content)
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        assert Source(connection, "x").state() is None
    assert len(warnings) == 1
    assert "damaged" in warnings[0]
    (aside,) = [p for p in tmp_path.iterdir() if "damaged" in p.name]
    assert aside.read_bytes() == content


def test_a_ledger_of_a_later_version_is_refused_and_stays_where_it_is(tmp_path, warnings):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for _ in range(2):
        with (
            pytest.raises(
                LedgerUnavailable, match=r"later version of nodeagent has written it \(schema 99, .*: install"
            ),
            database.opened(tmp_path, wait=False, warn=warnings.append),
        ):
            pass
    assert warnings == []
    assert [path.name for path in tmp_path.glob("*damaged*")] == []


def test_a_ledger_is_rebuilt_after_a_damage_until_an_evaluation_has_ended(tmp_path):
    def is_rebuilt(*, end=False):
        with database.opened(tmp_path, wait=False, warn=lambda _: None) as connection:
            source = Source(connection, "x")
            if end:
                source.end_rebuilding()
            return source.is_rebuilt()

    assert not is_rebuilt()
    (tmp_path / "ledger.db").write_bytes(b"nonsense" * 1000)
    assert is_rebuilt()
    assert is_rebuilt()
    assert not is_rebuilt(end=True)
    assert not is_rebuilt()


def test_a_ledger_that_is_gone_is_a_beginning(tmp_path):
    for _ in range(2):
        with database.opened(tmp_path, wait=False, warn=print) as connection:
            assert not Source(connection, "x").is_rebuilt()
        (tmp_path / "ledger.db").unlink()


def test_a_ledger_whose_log_was_deleted_is_in_order_and_older(tmp_path, warnings):
    def write_and_die():
        with database.opened(tmp_path, wait=False, warn=print) as connection:
            connection.executemany(FILL, [(b"/x", n, b"y" * 900) for n in range(3000)])
            os._exit(0)  # as if killed: the log stays

    in_child(write_and_die)
    (tmp_path / "ledger.db-wal").unlink()
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert warnings == []


def set_immutable(path, on):
    """Do what chattr does; returns whether the filesystem knows it."""
    get, put, immutable = 0x80086601, 0x40086602, 0x10  # <linux/fs.h>
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("@l", fcntl.ioctl(fd, get, bytes(8)))[0]
        fcntl.ioctl(fd, put, struct.pack("@l", flags | immutable if on else flags & ~immutable))
    except OSError as error:
        if error.errno not in {errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM}:
            raise
        return False
    finally:
        os.close(fd)
    return True


def test_a_ledger_that_nobody_may_change_is_named(tmp_path):
    def write():
        with database.opened(tmp_path, wait=False, warn=print) as connection:
            connection.execute(FILL, (b"/x", 0, b"y"))

    write()
    if not set_immutable(tmp_path / "ledger.db", True):
        pytest.skip("this filesystem knows no immutable files")
    try:
        with pytest.raises(NodeUnusable, match=r"ledger\.db: .*: see to its filesystem"):
            write()
    finally:
        set_immutable(tmp_path / "ledger.db", False)


REVISION = Revision(ref="main", commit="c1", tree="t1")


def test_sources_do_not_mix(tmp_path):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        Source(connection, "x").begin(REVISION, boot="b", scope=Scope.FULL, trigger=Trigger.BOOT)
        assert Source(connection, "y").state() is None


def test_a_ledger_of_an_earlier_version_is_brought_up_to_date_with_all_that_it_knows(tmp_path, warnings):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.executescript(f"{STEPS[0]} PRAGMA user_version = 1;")
    with connection:
        connection.execute("INSERT INTO source VALUES (1, 'x', 't', 'c', 'b', 1, 'main', 'main', 'b', 1, '[]', '[]')")
        connection.execute("INSERT INTO evaluation VALUES (1, 1, 'main', 'full', 'Boot', 1.0, 5, 0, 1, '{}')")
        connection.execute(
            "INSERT INTO destination VALUES (x'2f61', 1, 1, 'post.sh', 4, 'APPEND', 1, '', '', 33188, 0, 0, 1, 1, 1, 1)"
        )
        connection.execute("INSERT INTO block VALUES (x'2f61', 0, 'k', x'780a', 0)")
    connection.close()
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == database.SCHEMA_VERSION
        state = Source(connection, "x").state()
        known = origin.find(connection, "/a", kept=tmp_path)
    assert warnings == []
    assert state is not None
    assert state.applied == "main"
    assert known is not None
    assert known.placed is not None
    assert (known.placed.author.line, known.placed.author.gone) == (4, False)
    assert [one.block.text for one in known.blocks] == [b"x\n"]


def test_what_stood_behind_a_text_without_a_newline_is_taken_for_what_continues_it(tmp_path, warnings):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for number, step in enumerate(STEPS[:8], 1):
        connection.executescript(f"{step} PRAGMA user_version = {number};")
    texts = [b"a\n", b"b", b"c\n", b"d"]
    with connection:
        connection.executemany(
            "INSERT INTO block (path, position, statement, text, adopted) VALUES (?, ?, 'k', ?, 0)",
            [(path, position, text) for path in (b"/a", b"/b") for position, text in enumerate(texts)],
        )
    connection.close()
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        rows = connection.execute("SELECT path, continues FROM block ORDER BY path, position").fetchall()
    assert rows == [(path, one) for path in (b"/a", b"/b") for one in (0, 0, 1, 0)]


@pytest.fixture
def old(tmp_path):
    """A ledger of version 1 with a source whose evaluations 6 (full) and 8 (repair) were the last."""
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.executescript(f"{STEPS[0]} PRAGMA user_version = 1;")
    connection.executescript(
        """
        INSERT INTO source VALUES (1, 'x', 't', 'c', 'boot-1', 1, 'main', 'main', 'boot-1', 8, '[]', '[]');
        INSERT INTO evaluation (number, source, revision, scope, trigger, began) VALUES
            (6, 1, 'r', 'full', 'NewTree', 0.0), (7, 2, 'r', 'full', 'Boot', 0.0), (8, 1, 'r', 'repair', 'Drift', 0.0);
        INSERT INTO attempt VALUES (1, 'done', 1, 1, 0, 0, 'post.sh:1 done', 6);
        INSERT INTO attempt VALUES (1, 'failed', 1, 0, 3, 1, 'post.sh:2 failed', 8);
        """
    )
    connection.close()
    return tmp_path


def test_a_ledger_of_version_1_keeps_what_was_done_and_what_failed(old, warnings):
    with database.opened(old, wait=False, warn=warnings.append) as connection:
        source = Source(connection, "x")
        assert source.renewal() == Renewal(full=6, trigger=Trigger.NEW_TREE, forced=0)
        attempt = source.attempt("done", 1)
        assert attempt is not None
        assert (attempt.succeeded, attempt.evaluation, attempt.boot, attempt.tries) == (True, 6, "boot-1", 1)
        assert source.failed_steps() == ["post.sh:2 failed"]
        state = source.state()
        assert state is not None
        assert (state.deferred, state.retries) == (False, False)
    assert warnings == []


def test_bringing_up_to_date_that_is_cut_short_begins_anew(old, monkeypatch, warnings):
    broken = tuple(step.replace("CREATE INDEX", "CREATE NONSENSE") for step in STEPS)
    monkeypatch.setattr(database, "STEPS", broken)
    with pytest.raises(sqlite3.OperationalError), database.opened(old, wait=False, warn=warnings.append):
        pass
    monkeypatch.undo()
    with database.opened(old, wait=False, warn=warnings.append) as connection:
        assert Source(connection, "x").renewal().full == 6


def test_a_fork_of_the_holder_does_not_hold_the_ledger(tmp_path):
    """What a killed agent was about to start has its descriptors until it has started."""
    with database.opened(tmp_path, wait=False, warn=print):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    with database.opened(tmp_path, wait=False, warn=print):
        pass
    os.close(write)
    os.waitpid(pid, 0)
    os.close(read)


def test_a_directory_in_the_ledgers_place_is_moved_aside(tmp_path, warnings):
    (tmp_path / "ledger.db").mkdir()
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        assert connection.execute("SELECT count(*) FROM source").fetchone() == (0,)
    assert "a directory stands in its place" in warnings[0]
    assert len(list(tmp_path.glob("ledger.db.damaged-*"))) == 1


def test_a_ledger_that_turns_out_damaged_while_it_is_open_is_moved_aside_and_said(tmp_path, warnings):
    with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
        connection.executemany(FILL, [(b"/x", n, b"y" * 900) for n in range(99)])
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'block'").fetchone()
    with (tmp_path / "ledger.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    def use():
        with database.opened(tmp_path, wait=False, warn=warnings.append) as connection:
            connection.execute("SELECT sum(length(text)) FROM block ORDER BY position").fetchall()
            connection.execute("PRAGMA integrity_check").fetchall()
            connection.executemany(FILL, [(b"/%d" % n, 0, b"z") for n in range(99)])

    with pytest.raises(NodeUnusable, match=r"ledger\.db: was damaged, and is moved aside: apply again"):
        use()
    use()
    assert len(warnings) == 1
    assert len(list(tmp_path.glob("ledger.db.damaged-*"))) == 1


def test_a_ledger_on_a_full_filesystem_is_named(tmp_path):
    def fill():
        with database.opened(tmp_path, wait=False, warn=print) as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # as a full disk
            connection.executemany(FILL, [(b"/x", n, b"y" * 900) for n in range(99)])

    with pytest.raises(NodeUnusable, match=r"ledger\.db: database or disk is full: see to its filesystem"):
        fill()


def test_a_fault_of_our_own_in_the_ledger_keeps_its_traceback(tmp_path):
    with (
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        database.opened(tmp_path, wait=False, warn=print) as connection,
    ):
        connection.execute("SELECT * FROM missing")
