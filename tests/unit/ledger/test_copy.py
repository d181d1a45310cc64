import os

import pytest

from nodeagent.errors import NotNow
from nodeagent.ledger import copy, database


def open_ledger(directory):
    return database.opened(directory, wait=False, warn=print)


def test_where_nothing_was_ever_applied_nothing_is_made(tmp_path):
    taken = copy.take(tmp_path / "state", tmp_path / "copy")
    copy.demand_current(tmp_path / "state", taken)
    assert sorted(os.listdir(tmp_path)) == ["copy"]


def test_the_copy_holds_the_ledger_and_the_state_stays_as_it_is(tmp_path):
    with open_ledger(tmp_path / "state") as connection:
        connection.execute(
            "INSERT INTO evaluation (source, revision, scope, trigger, began) VALUES (1, 'r', '', '', 0)"
        )
    (tmp_path / "state/kept").mkdir()
    before = {name: os.stat(tmp_path / "state" / name).st_mtime_ns for name in os.listdir(tmp_path / "state")}
    taken = copy.take(tmp_path / "state", tmp_path / "copy")
    assert {name: os.stat(tmp_path / "state" / name).st_mtime_ns for name in os.listdir(tmp_path / "state")} == before
    with open_ledger(tmp_path / "copy") as connection:
        assert connection.execute("SELECT revision FROM evaluation").fetchone() == ("r",)
    copy.demand_current(tmp_path / "state", taken)


def test_of_what_is_kept_only_what_a_step_has_edited_is_copied(tmp_path):
    with open_ledger(tmp_path / "state") as connection:
        connection.execute("INSERT INTO source VALUES (1, '', '', '', '', 1, '', '', '', 1, '', '', 0, 0)")
        columns = "path, source, evaluation, file, line, phase, created, native_digest, left_digest"
        connection.execute(f"INSERT INTO destination ({columns}) VALUES (x'2f66', 1, 1, '', 1, '', 1, 'n', 'e')")
    (tmp_path / "state/kept").mkdir()
    for name in ("e", "r"):
        (tmp_path / "state/kept" / name).write_text(name)
    copy.take(tmp_path / "state", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy/kept").iterdir()] == ["e"]


def test_what_was_applied_meanwhile_is_noticed(tmp_path):
    with open_ledger(tmp_path / "state"):
        pass
    taken = copy.take(tmp_path / "state", tmp_path / "copy")
    (tmp_path / "state/checkout.json").write_text("{}")
    with pytest.raises(NotNow, match="make it again"):
        copy.demand_current(tmp_path / "state", taken)


def test_a_first_apply_meanwhile_is_noticed(tmp_path):
    taken = copy.take(tmp_path / "state", tmp_path / "copy")
    with open_ledger(tmp_path / "state"):
        pass
    with pytest.raises(NotNow):
        copy.demand_current(tmp_path / "state", taken)


def test_while_another_agent_applies_no_copy_is_taken(tmp_path):
    (ready, told), (wait, end) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        with open_ledger(tmp_path / "state"):
            os.write(told, b"x")
            os.read(wait, 1)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(NotNow):
        copy.take(tmp_path / "state", tmp_path / "copy")
    for descriptor in (ready, told, wait, end):
        os.close(descriptor)
    os.waitpid(pid, 0)
