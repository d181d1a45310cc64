"""Prune: what no step names any more is told, or goes, after whole evaluations only."""

import pytest

from nodeagent.model.evaluation import Change
from nodeagent.model.events import Notice, StepEnded

BASE = "COPY files/motd $D/a\nCOPY files/motd $D/b\nCOPY files/motd $D/c\n"


@pytest.fixture
def prune(local):
    """Apply with ``prune = true``."""

    def apply(body, **wishes):
        return local.apply(body, prune=True, **wishes)

    return apply


def names(local):
    return sorted(str(path.relative_to(local.root)) for path in local.root.rglob("*"))


def told(local):
    return [event.text for event in local.events if isinstance(event, Notice)]


def pruned(local):
    ended = [event.step for event in local.events if isinstance(event, StepEnded)]
    return [(step.path, step.line) for step in ended if step.change is Change.PRUNED]


def test_a_file_whose_statement_is_gone_goes_with_the_directory_that_was_made_for_it(local, prune, verb):
    prune(f"{BASE}COPY files/motd $D/new/deep/old")
    done = prune(BASE)
    assert names(local) == ["a", "b", "c"]
    assert done.counts[Change.PRUNED] == 3
    assert pruned(local)[0] == (f"{local.root}/new/deep/old", 7)
    assert "3 pruned" in verb("history", "-n", 1)
    assert "not nodeagent's" in verb("why", local.root / "new/deep/old", status=1)
    assert prune(BASE).counts == {"unchanged": 3}


def test_a_file_that_the_repository_has_no_longer_goes_from_a_directory_that_is_copied(local, prune):
    (local.repository / "files/tree").mkdir()
    for name in ("x", "y", "z"):
        (local.repository / "files/tree" / name).write_text(name)
    prune("COPY files/tree/ $D/tree/")
    (local.root / "tree/others").write_text("theirs")
    (local.repository / "files/tree/y").unlink()
    prune("COPY files/tree/ $D/tree/")
    assert names(local) == ["tree", "tree/others", "tree/x", "tree/z"]


def test_by_default_it_is_told_once_and_nothing_goes(local):
    local.apply(f"{BASE}COPY files/motd $D/old")
    done = local.apply(BASE)
    assert Change.PRUNED not in done.counts
    assert told(local) == [
        f"no step of post.sh names it any more: {local.root}/old, placed by post.sh:7 COPY files/motd $D/old:"
        " prune = true would remove it"
    ]
    local.apply(BASE)
    assert told(local) == []
    local.apply(f"{BASE}COPY files/motd $D/old")
    local.apply(BASE)
    assert len(told(local)) == 1
    assert (local.root / "old").exists()


def test_it_is_not_even_told_where_it_is_not_wanted(local):
    local.apply(f"{BASE}COPY files/motd $D/old", prune=False)
    local.apply(BASE, prune=False)
    assert told(local) == []
    assert (local.root / "old").exists()


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_text("mine"), lambda path: path.chmod(0o600)],
    ids=["content", "mode"],
)
def test_what_somebody_changed_stays(local, prune, damage):
    prune(f"{BASE}COPY files/motd $D/old")
    damage(local.root / "old")
    prune(BASE)
    assert (local.root / "old").exists()
    assert "old, placed by post.sh:7" in told(local)[0]


def test_what_stood_there_before_stays(local, prune):
    (local.root / "old").write_text("before")
    (local.root / "adopted").write_text("hello\n")
    prune(f"{BASE}COPY files/motd $D/old\nCOPY files/motd $D/adopted")
    prune(BASE)
    assert names(local) == ["a", "adopted", "b", "c", "old"]


def test_not_reached_is_not_gone(local, prune):
    body = BASE + "if [ ! -e $D/flag ]; then\n  COPY files/motd $D/old\nfi"
    prune(body)
    (local.root / "flag").touch()
    prune(body, force=True)
    assert (local.root / "old").exists()
    (said,) = [event for event in local.events if isinstance(event, Notice)]
    assert said.text.endswith("its statement was not reached: it stays")
    assert said.priority == 7


def test_a_line_that_is_appended_where_it_is_missing_is_no_news(local, prune):
    once = 'once() { grep -qxF "$1" "$2" || echo "$1" >>"$2"; }\nonce "a line" $D/list\n'
    prune(once)
    prune(once, force=True)
    assert (local.root / "list").read_text() == "a line\n"
    assert {event.priority for event in local.events if isinstance(event, Notice)} == {7}


@pytest.mark.parametrize("ending", ["sh -c 'exit 3'", "exit 1", "COPY files/none $D/none"])
def test_a_failed_evaluation_prunes_nothing(local, prune, ending):
    prune(f"{BASE}COPY files/motd $D/old")
    prune(f"{BASE}{ending}")
    assert (local.root / "old").exists()
    prune(BASE)
    assert not (local.root / "old").exists()


def test_more_than_half_of_many_is_never_pruned(local, prune):
    prune("".join(f"COPY files/motd $D/{n}\n" for n in range(10, 22)))
    prune("COPY files/motd $D/10")
    assert names(local) == [str(n) for n in range(10, 22)]
    assert "11 of 12 destinations are in no step any more: none is pruned" in told(local)[0]


def test_the_only_file_there_is_may_be_pruned(local, prune):
    prune("COPY files/motd $D/a")
    prune(":")
    assert names(local) == []


def test_a_statement_that_said_no_is_remembered_when_it_is_gone(local, prune):
    prune(f"{BASE}COPY files/motd $D/old  # nodeagent: prune=no")
    prune(BASE)
    assert (local.root / "old").exists()
    assert "prune=no" in told(local)[0]


def test_what_the_shell_places_by_now_stays(local, prune):
    prune(f"{BASE}COPY files/motd $D/old")
    prune(f"{BASE}rsync -a --checksum-choice=md5 files/motd $D/old")
    assert (local.root / "old").exists()


def test_what_a_postscript_places_by_now_stays(local, prune):
    prune(f"{BASE}COPY files/motd $D/old")
    script = local.repository / "place"
    script.write_text(f"#!/bin/sh\ncp files/motd {local.root}/old\n")
    script.chmod(0o755)
    prune(f"{BASE}./place")
    assert (local.root / "old").exists()


def test_a_program_that_is_run_whole_prunes_nothing(local, prune):
    prune(f"{BASE}COPY files/motd $D/old")
    prune(f"{BASE}alias x=y")
    assert (local.root / "old").exists()


def test_appended_text_whose_statement_is_gone_goes_and_other_text_stays(local, prune):
    (local.root / "hosts").write_text("before\n")
    prune(f"{BASE}echo one >>$D/hosts\necho two >>$D/hosts\necho three >>$D/hosts")
    with (local.root / "hosts").open("a") as file:
        file.write("theirs\n")
    prune(f"{BASE}echo one >>$D/hosts\necho three >>$D/hosts")
    assert (local.root / "hosts").read_text() == "before\none\nthree\ntheirs\n"
    assert pruned(local) == [(f"{local.root}/hosts", 8)]
    prune(BASE)
    assert (local.root / "hosts").read_text() == "before\ntheirs\n"
    assert prune(BASE).counts == {"unchanged": 3}


def test_a_file_that_held_nothing_else_goes_with_its_text(local, prune):
    prune(f"{BASE}echo one >>$D/new")
    prune(BASE)
    assert names(local) == ["a", "b", "c"]


def test_adopted_text_stays(local, prune):
    (local.root / "hosts").write_text("one\n")
    prune(f"{BASE}echo one >>$D/hosts\necho two >>$D/hosts")
    prune(BASE)
    assert (local.root / "hosts").read_text() == "one\n"


def test_a_loop_that_appends_less_has_the_rest_taken_out(local, prune):
    body = "for n in {}; do\n  echo $n >>$D/list\ndone"
    prune(BASE + body.format("alpha beta gamma"))
    prune(BASE + body.format("alpha gamma"))
    assert (local.root / "list").read_text() == "alpha\ngamma\n"
    assert prune(BASE + body.format("alpha gamma")).counts == {"unchanged": 5}


def test_text_that_is_appended_once_less_is_taken_out_once(local, prune):
    prune(f"{BASE}for n in 1 2; do\n  echo same >>$D/list\ndone")
    prune(f"{BASE}for n in 1; do\n  echo same >>$D/list\ndone")
    # The text still stands in post.sh, so that it is only told: it may be wanted by another way.
    assert (local.root / "list").read_text() == "same\nsame\n"
    assert "its text still stands in" in told(local)[0]


def test_what_another_source_placed_is_not_touched(local, prune, local_site):
    prune(BASE)
    other = local_site(local.top / "other")
    other.state, other.root = local.state, local.root
    other.apply("COPY files/motd $D/x", prune=True)
    assert names(local) == ["a", "b", "c", "x"]


def test_adopting_prunes_nothing(local, prune):
    prune(f"{BASE}COPY files/motd $D/old")
    prune(BASE, adopt=True)
    assert (local.root / "old").exists()
