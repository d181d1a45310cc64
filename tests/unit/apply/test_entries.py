import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apply.entries import Decision, Wanted, decide, entries_of, former_of, key_of, merge, take_out
from nodeagent.model.destinations import Entry

LINES = [
    (b"root:x:0:0::/root:/bin/sh", b"root"),
    (b"+", b"+"),
    (b"+@admins::::::", b"+@admins"),
    (b"-mallory", b"-mallory"),
    (b"# root:x", None),
    (b" root:x", None),
    (b"\troot:x", None),
    (b":x:0", None),
    (b"root", None),
    (b"", None),
]


@pytest.mark.parametrize(("line", "key"), LINES)
def test_an_entry_is_known_by_its_name_and_all_else_is_none(line, key):
    assert key_of(line) == key


MERGES = [
    # merge file, what stands there, what comes of it
    (b"b:2\n", b"a:1\nb:1\nc:1\n", b"a:1\nb:2\nc:1\n"),
    (b"d:2\nb:2\n", b"a:1\nb:1\n", b"a:1\nb:2\nd:2\n"),
    (b"b:2\nb:3\n", b"b:1\n", b"b:2\n"),
    (b"b:2\n", b"b:1\na:1\nb:9\n", b"b:2\na:1\n"),
    (b"b:2", b"a:1", b"a:1\nb:2\n"),
    (b"", b"a:1\na:2\n\n# c\n", b"a:1\na:2\n\n# c\n"),
    (b"# b:2\n\nplain\n:x\n", b"a:1\n", b"a:1\n"),
    (b"b:2\n", b"# b:1\n\nb\n:b\n", b"# b:1\n\nb\n:b\nb:2\n"),
    (b"b:2\n", b"a:1\n+:::\nc:1\n", b"a:1\nb:2\n+:::\nc:1\n"),
    (b"+@x\nb:2\n", b"a:1\n", b"a:1\nb:2\n+@x\n"),
    (b"+@x\nb:2\n", b"a:1\n-m\n+\n", b"a:1\nb:2\n-m\n+\n+@x\n"),
    (b"b:2\n", b"", b"b:2\n"),
]


@pytest.mark.parametrize(("entries", "there", "after"), MERGES)
def test_an_entry_takes_the_place_of_the_one_of_its_name_or_is_added(entries, there, after):
    assert merge(there, entries_of(entries)) == after


def decided(text, known, lines, *, statement="1", others=(), live=("1", "2"), add_only=False):
    wanted = Wanted(statement=statement, lines=entries_of(lines))
    return decide(text, known, wanted, others=[*others, wanted], live=set(live), add_only=add_only)


def test_what_an_entry_replaced_comes_back_and_what_was_added_goes():
    first = decided(b"a:1\nb:1\nb:9\n", [], b"b:2\nc:2\n")
    assert first.text == b"a:1\nb:2\nc:2\n"
    again = decided(first.text, first.entries, b"b:3\n")  # b is another one by now, c is not wanted any more
    assert again.text == b"a:1\nb:3\n"
    assert decided(again.text, again.entries, b"").text == b"a:1\nb:1\nb:9\n"


def test_what_stood_there_already_stays_when_it_is_not_wanted_any_more():
    first = decided(b"a:1\n", [], b"a:1\n")
    assert first.text == b"a:1\n"
    assert decided(first.text, first.entries, b"") == Decision(text=b"a:1\n", entries=[], dropped=list(first.entries))


def test_an_entry_that_somebody_changed_is_left_to_him_when_it_is_not_wanted_any_more():
    first = decided(b"", [], b"a:1\n")
    assert decided(b"a:other\n", first.entries, b"").text == b"a:other\n"


def test_entries_of_a_statement_that_is_gone_make_way_and_those_of_another_stay():
    first = decided(b"", [], b"a:1\n", statement="gone")
    second = decided(first.text, first.entries, b"b:1\n", statement="2")
    assert second.text == b"b:1\n"
    third = decided(second.text, second.entries, b"c:1\n", statement="1")
    assert third.text == b"b:1\nc:1\n"


def test_a_name_that_two_want_is_the_other_ones_when_one_drops_it():
    one, two = Wanted(statement="1", lines={b"a": b"a:1"}), b"a:2\n"
    first = decided(b"a:0\n", [], two, statement="2", others=[one])
    assert first.text == b"a:2\n"
    second = decided(first.text, first.entries, b"", statement="2", others=[one])
    assert second.text == b"a:1\n"
    assert second.entries == [Entry(statement="1", text=b"a:1", former=b"a:0")]


@pytest.mark.parametrize("written", [False, True])
def test_after_a_crash_beside_the_write_the_next_run_comes_to_the_same(written):
    before = decided(b"a:1\nc:1\n", [], b"a:2\nb:2\n")
    wanted = b"b:3\nc:3\n"
    done = decided(before.text, before.entries, wanted)
    noted = [*done.entries, *done.dropped]
    again = decided(done.text if written else before.text, noted, wanted)
    assert (again.text, again.entries) == (done.text, done.entries)


def test_only_what_is_gone_is_added_where_a_later_step_edits_the_file():
    first = decided(b"", [], b"a:1\nb:1\n")
    assert decided(b"a:edited\n", first.entries, b"a:1\nb:1\n", add_only=True).text == b"a:edited\nb:1\n"


names = st.sampled_from([b"a", b"b", b"c", b"+", b"-x", b"# n", b"", b" s"])
lines = st.builds(b":".join, st.tuples(names, st.sampled_from([b"1", b"2", b"x:y", b"", b"\r", b"\xff"])))
ends = st.sampled_from([b"", b"\n"])
texts = st.builds(lambda found, end: b"\n".join(found) + end, st.lists(lines | st.just(b"plain"), max_size=8), ends)


@given(there=texts, entries=texts)
def test_a_second_merge_changes_nothing(there, entries):
    once = merge(there, entries_of(entries))
    assert merge(once, entries_of(entries)) == once


@given(there=texts, entries=texts)
def test_lines_of_other_names_stay_in_their_order(there, entries):
    wanted = entries_of(entries)
    merged = merge(there, wanted)

    def others(text):
        return [line for line in text.split(b"\n") if line and key_of(line) not in wanted]

    assert others(merged) == others(there)
    assert {key: former_of(merged, [key])[key] for key in wanted} == wanted


@given(there=texts, versions=st.lists(texts, max_size=4))
def test_after_any_merge_files_an_empty_one_brings_back_all_that_stood_there(there, versions):
    text, known = there, []
    for entries in [*versions, b""]:
        decision = decided(text, known, entries)
        text, known = decision.text, decision.entries
    assert not known
    assert former_of(text, [b"a", b"b", b"c", b"+", b"-x"]) == former_of(there, [b"a", b"b", b"c", b"+", b"-x"])


def test_taking_out_changes_no_other_byte():
    entries = [Entry(statement="1", text=b"a:2", former=b"a:1\na:9"), Entry(statement="1", text=b"z:1", former=None)]
    assert take_out(b"\r\na:2\nb", entries) == (b"\r\na:1\na:9\nb", [entries[1]])
    assert take_out(b"z:1\r\nz:1\nend", entries[1:]) == (b"z:1\r\nend", [])
