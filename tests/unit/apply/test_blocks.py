from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.apply.blocks import Action, Piece, claim_settled, decide
from nodeagent.apply.standing import find_blocks
from nodeagent.model.destinations import Block


def own(text: bytes, statement: str = "1") -> Piece:
    return Piece(block=Block(statement=statement, text=text, adopted=False))


def adopted(text: bytes, statement: str = "1") -> Piece:
    return Piece(block=Block(statement=statement, text=text, adopted=True))


def evaluation(content, pieces, calls, live=None):
    """One evaluation's calls on one file; gives the content, the pieces and what was done."""
    pieces = tuple(replace(piece, claim=0) for piece in pieces)
    actions = []
    for statement, text in calls:
        decision = decide(content, pieces, statement=statement, text=text, live=live)
        content, pieces = decision.content, decision.pieces
        actions.append(decision.action)
    return content, pieces, actions


def texts(pieces):
    return [piece.block.text for piece in pieces]


def test_a_new_text_is_added_at_the_end():
    decision = decide(b"x\n", (), statement="1", text=b"a\n")
    assert (decision.action, decision.content) == (Action.APPENDED, b"x\na\n")
    assert decision.pieces == (Piece(block=Block(statement="1", text=b"a\n", adopted=False), claim=1),)


def test_a_text_that_stands_is_claimed_and_nothing_is_written():
    decision = decide(b"x\na\n", [own(b"a\n")], statement="1", text=b"a\n")
    assert (decision.action, decision.content) == (Action.STANDS, b"x\na\n")


def test_a_changed_text_takes_the_place_of_the_statement_s_older_one():
    decision = decide(b"x\na\ny\n", [own(b"a\n")], statement="1", text=b"b\nc\n")
    assert (decision.action, decision.content) == (Action.REPLACED, b"x\nb\nc\ny\n")
    assert texts(decision.pieces) == [b"b\nc\n"]


def test_a_text_appended_twice_on_purpose_stands_twice():
    calls = [("1", b"a\n"), ("2", b"a\n")]
    content, pieces, actions = evaluation(b"", (), calls)
    assert content == b"a\na\n"
    assert evaluation(content, pieces, calls)[2] == [Action.STANDS, Action.STANDS]
    assert actions == [Action.APPENDED, Action.APPENDED]


def test_a_text_that_stood_there_before_is_adopted():
    decision = decide(b"x\na\ny\n", (), statement="1", text=b"a\n")
    assert (decision.action, decision.content) == (Action.ADOPTED, b"x\na\ny\n")
    assert decision.pieces[0].block.adopted


@pytest.mark.parametrize("content", [b"#a\n", b"xa\n", b"a b\n", b"a"])
def test_a_text_that_is_only_a_part_of_a_line_is_not_adopted(content):
    assert decide(content, (), statement="1", text=b"a\n").action is Action.APPENDED


def test_a_text_without_a_newline_is_adopted_only_at_the_end_of_the_file():
    assert decide(b"x\nabc", (), statement="1", text=b"abc").action is Action.ADOPTED
    assert decide(b"x\nabc\ny\n", (), statement="1", text=b"abc").action is Action.APPENDED


def test_adopted_text_is_never_replaced():
    decision = decide(b"a\n", [adopted(b"a\n")], statement="1", text=b"b\n")
    assert (decision.action, decision.content) == (Action.APPENDED, b"a\nb\n")


def test_one_occurrence_is_adopted_by_one_call_only():
    content, _, actions = evaluation(b"a\n", (), [("1", b"a\n"), ("2", b"a\n")])
    assert (content, actions) == (b"a\na\n", [Action.ADOPTED, Action.APPENDED])


def test_a_blank_line_is_adopted_only_right_after_the_latest_claim():
    assert evaluation(b"x\n\ny\n", (), [("1", b"\n")])[0] == b"x\n\ny\n\n"
    content, _, actions = evaluation(b"w\n\nx\n\ny\n", (), [("1", b"x\n"), ("2", b"\n"), ("3", b"y\n")])
    assert (content, actions) == (b"w\n\nx\n\ny\n", [Action.ADOPTED] * 3)


def test_a_block_that_was_edited_by_hand_is_gone_and_comes_anew():
    content, pieces, _ = evaluation(b"x\n#a\n", [own(b"a\n")], [("1", b"a\n")])
    assert content == b"x\n#a\na\n"
    assert texts(pieces) == [b"a\n"]


BLOCK = b"10.0.0.1 mgmt\n10.0.0.2 ldap\n10.0.0.3 nfs\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"site\n10.0.0.1 mgmt\n10.0.0.3 nfs\nbelow\n", b"site\n" + BLOCK + b"below\n"),  # a line removed
        (b"10.0.0.2 ldap\n10.0.0.3 nfs\n", BLOCK),
        (b"10.0.0.1 mgmt\n10.9.9.9 ldap\n10.0.0.3 nfs\n", BLOCK + b"10.9.9.9 ldap\n"),  # a line changed
        (b"10.0.0.1 mgmt\nours\n10.0.0.2 ldap\n10.0.0.3 nfs\n", BLOCK + b"ours\n"),  # a line put in
        (
            b"10.0.0.3 nfs\nsite\n10.0.0.1 mgmt\n10.0.0.2 ldap\n",
            b"10.0.0.3 nfs\nsite\n" + BLOCK,
        ),  # the foreign one stays
    ],
)
def test_a_block_that_lost_lines_is_made_whole_and_none_of_its_lines_stands_twice(content, expected):
    recorded = [Piece(block=Block(statement="s", text=BLOCK, adopted=False))]
    first = decide(content, recorded, statement="s", text=BLOCK)
    assert (first.action, first.content) == (Action.REPLACED, expected)
    again = [Piece(block=piece.block) for piece in first.pieces]
    assert decide(first.content, again, statement="s", text=BLOCK).action is Action.STANDS


@pytest.mark.parametrize("content", [b"10.0.0.2 ldap\n", b"a\n", b"", b"10.0.0.1 mgmt\r10.0.0.2 ldap\n"])
def test_a_block_of_which_less_than_half_is_left_comes_anew(content):
    recorded = [Piece(block=Block(statement="s", text=BLOCK, adopted=False))]
    decision = decide(content, recorded, statement="s", text=BLOCK)
    assert (decision.action, decision.content) == (Action.APPENDED, content + BLOCK)


def test_a_broken_block_whose_text_changed_too_gives_way_to_the_new_text():
    recorded = [Piece(block=Block(statement="s", text=BLOCK, adopted=False))]
    decision = decide(b"10.0.0.1 mgmt\n10.0.0.3 nfs\n", recorded, statement="s", text=b"10.0.0.1 new\n")
    assert decision.content == b"10.0.0.1 new\n"


def test_adopted_text_that_was_broken_is_not_gathered():
    recorded = [Piece(block=Block(statement="s", text=BLOCK, adopted=True))]
    content = b"10.0.0.1 mgmt\n10.0.0.3 nfs\n"
    assert decide(content, recorded, statement="s", text=BLOCK).content == content + BLOCK


def test_the_beginning_of_a_line_that_a_block_continues_is_remembered():
    calls = [("1", b"a\n"), ("2", b"b"), ("3", b"c\n")]
    content, pieces, _ = evaluation(b"foo", (), calls)
    assert content == b"fooa\nbc\n"
    assert evaluation(content, pieces, calls)[2] == [Action.STANDS] * 3
    # "foo" is nobody's text to claim
    assert evaluation(content, pieces, [*calls, ("4", b"foo")])[0] == b"fooa\nbc\nfoo"


def test_a_block_that_continues_somebody_s_line_stays_known_when_the_next_one_is_edited():
    calls = [("1", b"a"), ("2", b"b\n")]
    content, pieces, _ = evaluation(b"foo", (), calls)
    again, _, actions = evaluation(content.replace(b"b\n", b"B\n"), pieces, calls)
    assert (again, actions) == (b"fooaB\nb\n", [Action.STANDS, Action.APPENDED])


def test_a_replacement_without_a_newline_goes_to_the_end_so_as_not_to_touch_the_line_below():
    decision = decide(b"a\nx\n", [own(b"a\n")], statement="1", text=b"b")
    assert (decision.action, decision.content) == (Action.REPLACED, b"x\nb")


def test_an_empty_text_asks_for_nothing():
    decision = decide(b"a\n", [own(b"a\n")], statement="1", text=b"")
    assert (decision.action, decision.content) == (Action.STANDS, b"a\n")
    assert not decision.pieces[0].claim


def test_a_text_that_moved_to_another_statement_is_claimed_by_it():
    decision = decide(b"a\n", [own(b"a\n", "old")], statement="new", text=b"a\n")
    assert decision.action is Action.STANDS
    assert decision.pieces[0].block.statement == "new"


def test_a_text_whose_statement_was_edited_makes_way_for_the_new_one_if_the_program_is_known():
    known = decide(b"x\na\ny\n", [own(b"a\n", "old")], statement="new", text=b"b\n", live={"new"})
    assert (known.action, known.content) == (Action.REPLACED, b"x\nb\ny\n")
    unknown = decide(b"x\na\ny\n", [own(b"a\n", "old")], statement="new", text=b"b\n")
    assert (unknown.action, unknown.content) == (Action.APPENDED, b"x\na\ny\nb\n")


def test_an_older_text_of_the_same_statement_goes_before_an_equal_text_of_another():
    """Or the older one would stay for ever, and the other statement append its own again."""
    pieces = [own(b"w\n", "1"), own(b"x\n", "2")]
    content, _, _ = evaluation(b"w\nx\n", pieces, [("1", b"x\n"), ("2", b"x\n")])
    assert content == b"x\nx\n"


def test_binary_text_is_text():
    noise = bytes(range(256)) * 2
    content, pieces, _ = evaluation(b"x\n", (), [("1", noise)])
    assert content == b"x\n" + noise
    assert evaluation(content, pieces, [("1", noise)])[2] == [Action.STANDS]


def test_a_settled_call_claims_its_own_block_first():
    pieces = (own(b"a\n", "1"), own(b"a\n", "2"))
    claimed = claim_settled(pieces, statement="2", text=b"a\n")
    assert [piece.claim for piece in claimed] == [0, 1]
    assert [piece.claim for piece in claim_settled(claimed, statement="2", text=b"a\n")] == [2, 1]
    assert claim_settled(claimed, statement="3", text=b"b\n") == claimed


def test_blocks_are_found_in_their_order_and_then_anywhere():
    blocks = [piece.block for piece in (own(b"a\n"), own(b"b\n"), own(b"a\n"))]
    assert find_blocks(b"a\nb\na\n", blocks) == [(0, 2), (2, 4), (4, 6)]
    assert find_blocks(b"b\na\na\n", blocks) == [(2, 4), (0, 2), (4, 6)]
    assert find_blocks(b"b\n", blocks) == [None, (0, 2), None]


# --- what always holds ------------------------------------------------------------------------------------------------

TEXTS = [b"a\n", b"b\n", b"a\nb\n", b"c", b"ab", b"\n", b"\na\n", b"a", b"", b"f1\n", b"f2", b"b\n\n"]

calls_of_a_run = st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from(TEXTS)), max_size=6)
foreign_lines = st.lists(st.sampled_from([b"f1\n", b"f2\n", b"f3\n", b"a\n", b"\n", b"fa\n"]), max_size=5)
lives = st.one_of(st.none(), st.sets(st.sampled_from("12345")))


def as_foreign(lines, cut):
    content = b"".join(lines)
    return content[:-1] if cut and content.endswith(b"\n") else content


@settings(max_examples=1500, deadline=None, report_multiple_bugs=False)
@given(foreign_lines, st.booleans(), st.lists(calls_of_a_run, min_size=1, max_size=3), lives)
def test_every_text_stands_and_a_second_run_changes_nothing(lines, cut, runs, live):
    content, pieces = as_foreign(lines, cut), ()
    for calls in runs:
        content, pieces, _ = evaluation(content, pieces, calls, live)
        claimed = sorted(piece.block.text for piece in pieces if piece.claim)
        assert claimed == sorted(text for _, text in calls if text)
        assert None not in find_blocks(content, [piece.block for piece in pieces])
        again, _, actions = evaluation(content, pieces, calls, live)
        assert again == content
        assert set(actions) <= {Action.STANDS}


@settings(max_examples=1500, deadline=None, report_multiple_bugs=False)
@given(st.integers(0, 5), st.booleans(), st.lists(calls_of_a_run, min_size=1, max_size=4), lives)
def test_foreign_lines_are_never_lost_or_reordered(count, cut, runs, live):
    lines = [b"f%d\n" % n for n in range(count)]
    content, pieces = as_foreign(lines, cut), ()
    for calls in runs:
        content, pieces, _ = evaluation(content, pieces, calls, live)
        at = 0
        for line in lines:
            begin = content.find(line.rstrip(b"\n"), at)
            assert begin >= 0
            assert begin == 0 or content[begin - 1 : begin] == b"\n"
            at = begin + len(line) - 1


@settings(max_examples=800, deadline=None, report_multiple_bugs=False)
@given(st.lists(st.sampled_from([b"x\n", b"y\n", b"z"]), max_size=6), st.booleans())
def test_the_first_run_leaves_what_the_shell_leaves(wanted, cut):
    start = as_foreign([b"f1\n", b"f2\n"], cut)
    content, _, _ = evaluation(start, (), [(str(n), text) for n, text in enumerate(wanted)])
    assert content == start + b"".join(wanted)


def edit(line):
    """What a hand makes of a line."""
    return st.sampled_from([[], [b"#" + line], [b"new", line], [b"a"], [line + b"f"], [line[:1], line[1:]]])


@settings(max_examples=1500, deadline=None, report_multiple_bugs=False)
@given(st.builds(as_foreign, foreign_lines, st.booleans()), calls_of_a_run, calls_of_a_run, lives, st.data())
def test_what_was_edited_by_hand_comes_back_and_stays(start, calls, others, live, data):
    content, pieces, _ = evaluation(start, (), calls)
    edited = content.split(b"\n")
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(edited) - 1))
        edited[at : at + 1] = data.draw(edit(edited[at]))
        edited = edited or [b""]
    content, pieces, _ = evaluation(b"\n".join(edited), pieces, others, live)
    assert sorted(p.block.text for p in pieces if p.claim) == sorted(text for _, text in others if text)
    again, _, actions = evaluation(content, pieces, others, live)
    assert (again, set(actions) - {Action.STANDS}) == (content, set())


def test_texts_without_newline_that_were_cut_apart_by_hand_settle_at_once():
    calls = [("1", b"c")] * 3 + [("4", b"a\n")]
    others = [("1", b"c"), ("4", b"a"), ("1", b"a\n")]
    _, pieces, _ = evaluation(b"f1\n" * 3, (), calls)
    content, pieces, _ = evaluation(b"f1\nf1\nccca\nnew\n", pieces, others)
    assert evaluation(content, pieces, others)[0] == content


def test_a_line_of_others_stays_a_line_when_the_text_before_it_moves_to_the_end():
    calls = [("1", b"a\n")]
    content, pieces, _ = evaluation(b"foo", (), calls)
    content, pieces, actions = evaluation(content + b"below\n", pieces, [("1", b"b")])
    assert (content, actions) == (b"foo\nbelow\nb", [Action.REPLACED])
    assert texts(pieces) == [b"b"]


def test_what_a_block_continues_is_known_also_where_an_equal_text_would_continue_it_elsewhere():
    first = [("1", b"c"), ("2", b"d\n"), ("3", b"c")]
    content, pieces, _ = evaluation(b"", (), first)
    assert [piece.block.continues for piece in pieces] == [False, True, False]
    content, pieces, actions = evaluation(b"cd\nc\nd\n", pieces, [*first, ("4", b"d\n")])
    assert (content, actions) == (b"cd\nc\nd\n", [Action.STANDS] * 3 + [Action.ADOPTED])
