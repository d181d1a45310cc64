import os
import signal
import sqlite3  # noqa: TID251 - to make a ledger of another version

import pytest

from nodeagent.errors import NotNow
from nodeagent.ledger import database, origin
from nodeagent.ledger.schema import STEPS
from nodeagent.ledger.sources import AttemptRecord, Source
from nodeagent.model import Revision, Scope, Trigger


@pytest.fixture
def warnings():
    return []


def test_only_one_process_has_the_ledger(tmp_path, warnings):
    with (
        database.opened(tmp_path, wait=False, warn=warnings.append),
        pytest.raises(NotNow, match="another nodeagent"),
        database.opened(tmp_path, wait=False, warn=print),
    ):
        pass
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


def test_a_ledger_of_a_newer_version_is_moved_aside_not_misread(tmp_path, warnings):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with database.opened(tmp_path, wait=False, warn=warnings.append):
        pass
    assert "schema 99" in warnings[0]


REVISION = Revision(ref="main", commit="c1", tree="t1")


def test_what_is_due_survives_the_process(tmp_path):
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        source = Source(connection, "x")
        number = source.begin(REVISION, boot="b", scope=Scope.FULL, trigger=Trigger.BOOT)
        source.record(
            "k", 1, AttemptRecord(succeeded=True, exit_status=0, statement_status=0), label="a", evaluation=number
        )
    with database.opened(tmp_path, wait=False, warn=print) as connection:
        source = Source(connection, "x")
        state = source.state()
        assert state is not None
        assert not state.finished
        assert source.attempt("k", 1) is not None
        assert source.attempt("k", 2) is None
        source.begin(REVISION, boot="b", scope=Scope.REPAIR, trigger=Trigger.UNFINISHED)
        assert source.attempt("k", 1) is not None
        source.begin(REVISION, boot="b", scope=Scope.FULL, trigger=Trigger.FORCE)
        assert source.attempt("k", 1) is None


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
