"""The ledger's view, evaluation after evaluation, on real files."""

import os
import stat

import pytest

from nodeagent.ledger import database
from nodeagent.ledger.editors import Editors
from nodeagent.ledger.kept import Kept
from nodeagent.ledger.sources import Source
from nodeagent.ledger.view import View
from nodeagent.model.destinations import Content
from nodeagent.model.evaluation import Change, Phase, Revision, Scope, Statement, Trigger

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
        kept = Kept(tmp_path / "kept", limit=1000, rest=lambda *_: None)
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


def untouched(view, path, read=READ, **other):
    asked = {"mode": 0o644, "uid": 0, "gid": 0} | other
    return view.untouched(str(path), os.lstat(path), read=read, **asked)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_text("text")
    return tmp_path / "f"


def test_what_nobody_has_touched_is_known_by_the_fingerprint_of_its_source_and_its_own_lstat(begin, path):
    view = begin()
    assert not untouched(view, path), "nothing is known of it"
    placed(view, path, "d", Change.CREATED, read=READ)
    assert not untouched(view, path), "that is of another evaluation"
    view.finish()
    assert not untouched(begin(), path, read=b"another source, or one that was touched")
    for other in ({"mode": 0o600}, {"uid": 1}, {"gid": 1}):
        assert not untouched(begin(), path, **other), "something else is wanted"
    assert untouched(begin(), path)
    path.chmod(0o600)
    assert not untouched(begin(), path)


def test_a_source_that_could_not_be_known_again_is_known_after_the_next_time(begin, path):
    for read, change in ((b"", Change.CREATED), (READ, Change.UNCHANGED)):
        view = begin()
        assert not untouched(view, path)
        placed(view, path, "d", change, read=read)
        view.finish()
    assert untouched(begin(), path)


def test_what_is_untouched_is_noted_as_named_by_this_evaluation_and_as_it_was(begin, ledger, path):
    view = begin()
    placed(view, path, "d", Change.CREATED, read=READ)
    view.finish()
    before = row(ledger)
    again = begin(MOVED)
    assert untouched(again, path)
    assert not untouched(again, path), "another verb of the chain"
    again.flush()
    assert row(ledger) == before, "nothing is written while all stays as it is"
    again.finish()
    assert row(ledger) == (2, 4, *before[2:])
    assert untouched(begin(), path)


def test_a_step_that_changes_what_was_untouched_is_seen(begin, ledger, path):
    view = begin()
    placed(view, path, "d", Change.CREATED, read=READ)
    view.finish()
    again = begin()
    assert untouched(again, path)
    path.write_text("by a step")
    again.finish()
    assert row(ledger)[2] != row(ledger)[3]
    assert not untouched(begin(), path), "what becomes of it is to be asked"


def test_another_verb_behind_one_that_found_all_untouched_goes_on_with_its_chain(begin, ledger, path):
    view = begin()
    placed(view, path, "first", Change.CREATED, read=READ)
    placed(view, path, "second", Change.UPDATED)
    view.finish()
    again = begin()
    assert untouched(again, path)
    assert again.settled(str(path), wanted("second"))
    placed(again, path, "second", Change.UNCHANGED)
    again.finish()
    assert ledger.execute("SELECT digest, read FROM link ORDER BY position").fetchall() == [
        ("first", READ),
        ("second", b""),
    ]


def test_where_the_other_verbs_of_a_chain_are_gone_the_first_one_is_all_there_is(begin, ledger, path):
    view = begin()
    placed(view, path, "first", Change.CREATED, read=READ)
    placed(view, path, "second", Change.UPDATED)
    view.finish()
    again = begin()
    assert untouched(again, path)
    again.finish()
    assert ledger.execute("SELECT digest FROM link").fetchall() == [("first",)]


def test_what_is_undone_or_spared_is_never_called_untouched(begin, ledger, path):
    view = begin()
    placed(view, path, "d", Change.CREATED, read=READ)
    view.finish()
    ledger.execute("INSERT INTO undone VALUES (?, 1, 0)", (os.fsencode(path),))
    assert not untouched(begin(), path)


def test_what_is_found_as_it_was_is_noted_as_named_by_this_evaluation(begin, ledger, path):
    view = begin()
    placed(view, path, "d", Change.CREATED)
    view.finish()
    before = row(ledger)
    again = begin(MOVED)
    placed(again, path, "d", Change.UNCHANGED)
    assert row(ledger) == before, "nothing is written while all stays as it is"
    again.finish()
    assert row(ledger) == (2, 4, *before[2:])


def test_a_mode_that_a_step_changes_behind_a_verb_that_found_all_in_order_is_how_it_is_left(begin, ledger, path):
    view = begin()
    placed(view, path, "d", Change.CREATED)
    view.finish()
    again = begin()
    placed(again, path, "d", Change.UNCHANGED)
    path.chmod(0o600)
    again.finish()
    assert row(ledger, "left_mode, evaluation") == (stat.S_IFREG | 0o600, 2)


def test_a_chain_that_is_shorter_than_the_last_time_is_so_the_next_time(begin, ledger, path):
    view = begin()
    placed(view, path, "first", Change.CREATED)
    placed(view, path, "second", Change.UPDATED)
    view.finish()
    again = begin()
    placed(again, path, "first", Change.UNCHANGED)
    again.finish()
    assert ledger.execute("SELECT position, digest FROM link").fetchall() == [(0, "first")]


@pytest.mark.parametrize("old", [True, False])
def test_a_file_is_hashed_again_unless_its_time_proves_that_nobody_wrote_to_it(begin, ledger, path, old):
    """In the clock tick in which it was placed, only a time of modification that a COPY had set tells."""
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
