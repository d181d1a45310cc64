"""The ledger's view, evaluation after evaluation, on real files."""

import os
import stat

import pytest

from nodeagent.ledger import database
from nodeagent.ledger.editors import Editors
from nodeagent.ledger.kept import Kept
from nodeagent.ledger.sources import Source
from nodeagent.ledger.view import View
from nodeagent.model import Change, Content, Phase, Revision, Scope, Statement, Trigger

REVISION = Revision(ref="main", commit="", tree="t")
COPY = Statement(number=1, key="k", file="post.sh", line=3, phase=Phase.COPY, text="COPY a b")
MOVED = Statement(number=1, key="k", file="post.sh", line=4, phase=Phase.COPY, text="COPY a b")
READ = b"the source's fingerprint"


@pytest.fixture
def ledger(tmp_path):
    with database.opened(tmp_path / "state", wait=False, warn=print) as connection:
        yield connection


@pytest.fixture
def begin(ledger, tmp_path):
    """Begins an evaluation and gives its view."""

    def begin(statement=COPY, scope=Scope.REPAIR):
        source = Source(ledger, "s")
        number = source.begin(REVISION, boot="b", scope=scope, trigger=Trigger.REQUEST)
        kept = Kept(tmp_path / "kept", limit=1000)
        view = View(
            ledger,
            source=source.id,
            evaluation=number,
            scope=scope,
            kept=kept,
            spared=frozenset(),
            editors=Editors(ledger, source.id),
            rule=lambda *_: None,
        )
        view.statement = statement
        return view

    return begin


def wanted(digest):
    return Content(kind=stat.S_IFREG, digest=digest, mode=0o644, uid=0, gid=0)


def row(ledger, columns="evaluation, line, native_digest, left_digest"):
    return ledger.execute(f"SELECT {columns} FROM destination").fetchone()


def placed(view, path, digest, change, **known):
    view.placed(str(path), Phase.COPY, wanted(digest), change, **known)
    view.flush()


def test_what_was_read_is_known_by_its_fingerprint_in_the_next_evaluation(begin, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    view = begin()
    assert view.digest_read(str(path), READ) == ""
    placed(view, path, "d", Change.CREATED, read=READ)
    view.finish()
    again = begin()
    assert again.digest_read(str(path), READ) == "d"
    assert again.digest_read(str(path), b"another") == ""
    assert again.digest_read(str(tmp_path / "other"), READ) == ""


def test_a_source_that_could_not_be_known_again_is_read_and_known_the_next_time(begin, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    for read, change in ((b"", Change.CREATED), (READ, Change.UNCHANGED)):
        view = begin()
        assert view.digest_read(str(path), READ) == ""
        assert view.digest_read(str(path), b"") == ""
        placed(view, path, "d", change, read=read)
        view.finish()
    assert begin().digest_read(str(path), READ) == "d"


def test_each_verb_of_a_chain_has_a_source_of_its_own(begin, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    view = begin()
    placed(view, path, "first", Change.CREATED, read=b"1")
    placed(view, path, "second", Change.UPDATED, read=b"2")
    view.finish()
    again = begin()
    assert (again.digest_read(str(path), b"1"), again.digest_read(str(path), b"2")) == ("first", "")
    placed(again, path, "first", Change.UNCHANGED, read=b"1")
    assert (again.digest_read(str(path), b"1"), again.digest_read(str(path), b"2")) == ("", "second")
    placed(again, path, "second", Change.UNCHANGED, read=b"2")
    assert again.digest_read(str(path), b"2") == ""


def test_what_is_found_as_it_was_is_noted_as_named_by_this_evaluation(begin, ledger, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    view = begin()
    placed(view, path, "d", Change.CREATED)
    view.finish()
    before = row(ledger)
    again = begin(MOVED)
    placed(again, path, "d", Change.UNCHANGED, there=os.lstat(path))
    assert row(ledger) == before, "nothing is written while all stays as it is"
    again.finish()
    assert row(ledger) == (2, 4, *before[2:])


def test_a_mode_that_a_step_changes_behind_a_verb_that_found_all_in_order_is_how_it_is_left(begin, ledger, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    view = begin()
    placed(view, path, "d", Change.CREATED)
    view.finish()
    again = begin()
    placed(again, path, "d", Change.UNCHANGED, there=os.lstat(path))
    path.chmod(0o600)
    again.finish()
    assert row(ledger, "left_mode, evaluation") == (stat.S_IFREG | 0o600, 2)


def test_a_chain_that_is_shorter_than_the_last_time_is_so_the_next_time(begin, ledger, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    view = begin()
    placed(view, path, "first", Change.CREATED)
    placed(view, path, "second", Change.UPDATED)
    view.finish()
    again = begin()
    placed(again, path, "first", Change.UNCHANGED)
    again.finish()
    assert ledger.execute("SELECT position, digest FROM link").fetchall() == [(0, "first")]


@pytest.mark.parametrize("old", [True, False])
def test_a_file_is_hashed_again_unless_its_time_proves_that_nobody_wrote_to_it(begin, ledger, tmp_path, old):
    """In the clock tick in which it was placed, only a time of modification that a COPY had set tells."""
    path = tmp_path / "f"
    path.write_text("text")
    if old:
        os.utime(path, (1, 1))
    view = begin()
    placed(view, path, "as the verb said", Change.CREATED)
    view.finish()
    assert (row(ledger)[3] == "as the verb said") is old


def test_what_a_step_wrote_into_a_file_that_was_placed_is_hashed(begin, ledger, tmp_path):
    path = tmp_path / "f"
    path.write_text("text")
    os.utime(path, (1, 1))
    view = begin()
    placed(view, path, "as the verb said", Change.CREATED)
    with path.open("r+") as file:
        file.write("TEXT")
    view.finish()
    assert row(ledger)[2] == "as the verb said"
    assert row(ledger)[3] != "as the verb said"
