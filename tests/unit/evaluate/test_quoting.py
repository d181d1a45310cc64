"""Where words end."""

import pytest

from nodeagent.evaluate.quoting import NotUnderstoodError, Quoting


def quoting(text):
    return Quoting(text.encode(), lambda at: text.index(")", at) + 1)


def first_word(text, **options):
    return text[: quoting(text).word(0, **options)]


@pytest.mark.parametrize(
    "word",
    [
        "a'b c'\"d e\"f",
        "a\\ b\\\nc",
        "s/$/x/",
        "$$",
        "$#",
        "a#b",
        '"a $(b c) `d e` \\" ${f:-g h} $"',
        "${a:-b c}",
        "${a:-{}",
        "${#}${a#}}",
        '"${a:-"b } c"}"',
        "$((1 + (2 << 3)))",
        "$'a\\n'",
        "`a \\` b`c",
        "<(a b)",
        ">(a b)c",
        "@(a|b c)d",
        "*.!(a|@(b|c))",
        "a=(b c\n'd e' # f)\n)",
        "a[1]+=(b c)",
        "{a,b}",
    ],
)
def test_a_word_holds_what_is_quoted_and_expanded_in_it(word):
    for behind in (" z", ";z", "\nz", "|z", ""):
        assert first_word(word + behind) == word


def test_a_word_ends_before_an_operator():
    for end in (" ", "\t", "\n", ";", "&", "|", "(", ")", "<", ">"):
        assert first_word(f"a{end}b") == "a"
    assert first_word("(a") == ""


def test_a_regular_expression_holds_groups_and_alternatives():
    assert first_word("^(a|b c)$|d e", regex=True) == "^(a|b c)$|d"


@pytest.mark.parametrize(
    "text",
    [
        "'a",
        '"a',
        "`a",
        "${a",
        "$'a\\'b",
        "$[1]",
        "$\\\n{a}",
        '"${a#\'}"',
        "$((1) ",
        "$(('1'))",
        "${ a;}",
        "@(a",
        "a=(b",
    ],
)
def test_a_word_without_a_certain_end_is_not_understood(text):
    with pytest.raises(NotUnderstoodError):
        first_word(text)


def test_comments_are_remembered_and_continuations_are_blanks():
    found = quoting(" \t\\\n # a 'b\nc")
    assert found.blanks(0) == 11
    assert found.comments == {5: 11}


def test_two_subshells_are_no_arithmetic():
    assert quoting("((1 + (2)))").arithmetic(0) == 11
    assert quoting("((a) && b)").arithmetic(0) is None
    with pytest.raises(NotUnderstoodError):
        quoting("((a # b))").arithmetic(0, command=True)


def test_nested_parameters_take_no_time_to_be_compared():
    depth = 60
    assert first_word('"' + "${a#'" * depth + "'}" * depth + '"')
