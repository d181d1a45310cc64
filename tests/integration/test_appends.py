"""What is appended stands there once, however post.sh and the destination change between evaluations.

Real shells, files and ledger; what must stand there is written down by hand.
"""

import pytest

from tests.integration.site import KILL, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def applied(site, program: str, name: str = "f") -> str:
    site.program(program)
    assert not site.apply().failed
    path = site.root / name
    return path.read_text() if path.exists() else ""


def test_a_text_with_a_skipped_step_in_it_is_what_it_was_the_last_time(site):
    program = "{ echo head; sh -c 'echo ran; echo ran >>$0' $D/ran.log; echo tail; } >>$D/f"
    assert applied(site, program) == "head\nran\ntail\n"
    assert applied(site, program) == "head\nran\ntail\n"
    (site.root / "f").unlink()
    assert applied(site, program) == "head\nran\ntail\n"
    (site.root / "f").write_text("other\nhead\nran\n")
    assert applied(site, program) == "other\nhead\nran\ntail\n"
    assert site.ran() == ["ran"]


def test_a_text_whose_steps_are_due_again_takes_the_place_of_the_old_one(site):
    site.file("v", "1\n")
    program = "{ echo head; sed s/^/v/ v; } >>$D/f; echo behind >>$D/f"
    assert applied(site, program) == "head\nv1\nbehind\n"
    site.file("v", "2\n")
    assert applied(site, program) == "head\nv2\nbehind\n"


def test_a_text_that_was_cut_short_by_a_crash_is_whole_after_the_next_full_evaluation(site):
    site.program("{ echo head; sh -c 'echo ran'; " + KILL + "; echo tail; } >>$D/f")
    site.killed()
    site.apply()
    assert (site.root / "f").read_text() == "head\ntail\n"
    site.apply(force=True)
    assert (site.root / "f").read_text() == "head\nran\ntail\n"


def test_what_was_appended_beside_the_shell_before_a_crash_stands_once(site):
    loop = 'cat "$D/in" | while read -r l; do echo "$l" >>"$D/f"; [ $l != b ] || ' + KILL + "; done"
    site.program('v=$(echo first >>"$D/f")\n' + loop)
    (site.root / "in").write_text("a\nb\nc\n")
    site.killed()
    assert (site.root / "f").read_text() == "first\na\nb\n"
    for force in (False, True, True):
        assert not site.apply(force=force).failed
        assert (site.root / "f").read_text() == "first\na\nb\nc\n"


def test_a_text_that_changes_beside_the_shell_takes_the_place_of_the_old_one_and_goes_when_its_statement_goes(site):
    def program(text):
        return f'add() {{ echo "$1" >>"$D/f"; }}\nv=$(add "{text}")\n( echo job >>"$D/f" ) &\nwait\n'

    assert applied(site, program("old")) == "old\njob\n"
    (site.root / "f").write_text("before\nold\njob\nbehind\n")
    assert applied(site, program("new")) == "before\nnew\njob\nbehind\n"
    assert site.apply(force=True).failed is False
    assert (site.root / "f").read_text() == "before\nnew\njob\nbehind\n"


def test_a_text_that_changes_takes_the_place_of_the_old_one(site):
    (site.root / "f").write_text("first\n")
    assert applied(site, "echo a >>$D/f\necho b >>$D/f") == "first\na\nb\n"
    (site.root / "f").write_text("first\na\nb\nlast\n")
    assert applied(site, "echo A >>$D/f\necho b >>$D/f") == "first\nA\nb\nlast\n"


def test_a_statement_that_moves_or_changes_places_keeps_its_text(site):
    assert applied(site, "echo a >>$D/f\necho b >>$D/f\necho c >>$D/f") == "a\nb\nc\n"
    assert applied(site, "echo c >>$D/f\ntrue\necho a >>$D/f\necho b >>$D/f") == "a\nb\nc\n"
    assert applied(site, "if true; then\n  echo b >>$D/f\nfi\necho a >>$D/f\necho c >>$D/f") == "a\nb\nc\n"


def test_a_text_that_is_no_longer_wanted_stays_and_is_not_appended_again_when_it_comes_back(site):
    assert applied(site, "echo a >>$D/f\necho b >>$D/f") == "a\nb\n"
    assert applied(site, "echo b >>$D/f") == "a\nb\n"
    assert applied(site, "echo a >>$D/f\necho b >>$D/f") == "a\nb\n"
    assert applied(site, "echo b >>$D/f\ncat files/a >>$D/f") == "a\nb\n"


@pytest.fixture(autouse=True)
def files(site):
    site.file("files/a", "a\n")


def test_a_text_that_is_no_longer_wanted_makes_way_for_a_new_one(site):
    assert applied(site, "echo a >>$D/f\necho b >>$D/f") == "a\nb\n"
    assert applied(site, "echo c >>$D/f\necho b >>$D/f") == "c\nb\n"
    assert applied(site, "echo b >>$D/f") == "c\nb\n"
    assert applied(site, "echo b >>$D/f\necho d >>$D/f") == "d\nb\n"


def test_a_text_that_goes_to_another_destination_is_appended_there(site):
    applied(site, "echo a >>$D/f\necho b >>$D/f")
    assert applied(site, "echo a >>$D/g\necho b >>$D/f", "g") == "a\n"
    assert applied(site, "echo a >>$D/f\necho b >>$D/f") == "a\nb\n"


@pytest.mark.parametrize(
    ("there", "then"),
    [
        ("0\na\nb\n9\n", "0\na\nb\n9\n"),
        ("a\nx\nb\n", "a\nx\nb\n"),
        ("a\nb\nno end", "a\nb\nno end"),
        ("b\na\n", "b\na\n"),
        ("xa\nb\n", "xa\nb\na\n"),
        ("", "a\nb\n"),
        (None, "a\nb\n"),
    ],
)
def test_what_others_write_around_the_texts_stays(site, there, then):
    program = "echo a >>$D/f\necho b >>$D/f"
    applied(site, program)
    (site.root / "f").unlink()
    if there is not None:
        (site.root / "f").write_text(there)
    for _ in range(2):
        assert applied(site, program) == then


def test_a_text_in_a_file_without_a_last_newline_continues_its_line_once(site):
    program = "echo a >>$D/f\nprintf 'b' >>$D/f\necho c >>$D/f"
    (site.root / "f").write_text("no end")
    for _ in range(2):
        assert applied(site, program) == "no enda\nbc\n"
    with (site.root / "f").open("a") as file:
        file.write("other")
    for _ in range(2):
        assert applied(site, program) == "no enda\nbc\nother"


def test_a_destination_that_was_replaced_by_a_link_gets_the_text_behind_it(site):
    applied(site, "echo a >>$D/f")
    (site.root / "real").write_text("text\n")
    (site.root / "f").unlink()
    (site.root / "f").symlink_to("real")
    for _ in range(2):
        assert applied(site, "echo a >>$D/f", "real") == "text\na\n"
    assert (site.root / "f").is_symlink()


def test_the_same_text_stands_as_often_as_it_is_wanted(site):
    program = "echo a >>$D/f\necho a >>$D/f\nfor i in 1 2; do echo a >>$D/f; done\ncat <<E >>$D/f\na\nE"
    for _ in range(2):
        assert applied(site, program) == "a\n" * 5
    assert applied(site, program + "\necho a | tee -a $D/f >/dev/null\n{ echo a; } >>$D/f") == "a\n" * 6
    assert applied(site, f"say() {{ echo a; }}\n{program}\nsay >>$D/f\nsay >>$D/f") == "a\n" * 7


def test_every_form_appends_once(site):
    program = (
        'say() { echo $1; }\nv=x\nsay f1 >>$D/f\ncat <<E >>$D/f\nh $v\nE\necho t | tee -a "$D/f" >/dev/null\n'
        "{ echo g; printf 'p\\n'; } >>$D/f\nfor i in 1 2; do echo l$i >>$D/f; done\n(cd /; echo s >>$D/f)\n"
        "if ! echo n >>$D/f; then :; fi\nprintf '%s\\n' m >>$D/f || exit 1"
    )
    for _ in range(2):
        assert applied(site, program) == "f1\nh x\nt\ng\np\nl1\nl2\ns\nn\nm\n"
    assert site.apply(force=True).counts.get("updated") is None


def test_a_second_equal_text_is_appended_although_its_place_in_the_chain_had_the_same_text(site):
    assert applied(site, "echo b >>$D/f\necho a >>$D/f") == "b\na\n"
    assert applied(site, "echo a >>$D/f\necho a >>$D/f\necho b >>$D/f") == "b\na\na\n"
