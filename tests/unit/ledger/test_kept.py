import hashlib
import os

import pytest

from nodeagent.ledger import database
from nodeagent.ledger.kept import Kept, edited


@pytest.fixture
def connection(tmp_path):
    with database.opened(tmp_path / "state", wait=False, warn=print) as connection:
        connection.execute("INSERT INTO source VALUES (1, '', '', '', '', 1, '', '', '', 1, '', '', 0, 0)")
        yield connection


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "kept", limit=10, rest=lambda *_: None)


def left(connection, path, native, digest):
    columns = "path, source, evaluation, file, line, phase, created, native_digest, left_digest"
    connection.execute(
        f"INSERT INTO destination ({columns}) VALUES (?, 1, 1, '', 1, '', 1, ?, ?)", (os.fsencode(path), native, digest)
    )


def test_a_content_is_kept_once_under_its_digest_for_root_alone(kept, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
        assert kept.keep(str(tmp_path / name)) == hashlib.sha256(b"same").hexdigest()
    (copy,) = (tmp_path / "kept").iterdir()
    assert copy == kept.find(hashlib.sha256(b"same").hexdigest())
    assert (copy.read_text(), copy.stat().st_mode & 0o777, (tmp_path / "kept").stat().st_mode & 0o777) == (
        "same",
        0o600,
        0o700,
    )


def test_what_is_larger_than_the_limit_or_gone_is_not_kept(kept, tmp_path):
    (tmp_path / "a").write_text("eleven byte")
    assert (kept.keep(str(tmp_path / "a")), kept.keep(str(tmp_path / "none"))) == ("", "")
    assert not (tmp_path / "kept").exists()
    assert (kept.find(""), kept.find("0" * 64)) == (None, None)


def test_only_what_no_row_refers_to_is_collected(kept, tmp_path, connection):
    names = {}
    for text in ("edited", "as written", "replaced", "staged"):
        (tmp_path / "f").write_text(text)
        names[text] = kept.keep(str(tmp_path / "f"))
    os.rename(tmp_path / "kept" / names["staged"], tmp_path / "kept/.new")
    left(connection, "/a", "other", names["edited"])
    left(connection, "/b", names["as written"], names["as written"])
    connection.execute("INSERT INTO kept VALUES (x'2f63', 0, ?, 0, 0, 0, 1)", (names["replaced"],))
    assert edited(connection) == {names["edited"]}
    kept.collect(connection)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {names["edited"], names["replaced"]}


def test_without_a_directory_there_is_nothing_to_collect(kept, tmp_path, connection):
    kept.collect(connection)
    assert not (tmp_path / "kept").exists()
