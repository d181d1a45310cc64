"""What the grammar makes of a text, and of what it does not read."""

import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.syntax import AndOr, Command, Compound, Pipeline


def only(text):
    ((node, _),) = parse(text.encode()).block.items
    return node


def test_a_redirection_behind_a_list_belongs_to_its_last_command():
    node = only("a && echo x >>f")
    assert isinstance(node, AndOr)
    first, last = node.operands
    assert isinstance(first, Command)
    assert first.redirects == ()
    assert isinstance(last, Command)
    assert [r.operator for r in last.redirects] == [">>"]


def test_words_behind_a_redirection_are_arguments():
    node = only("echo >>f x y")
    assert isinstance(node, Command)
    assert [w.literal for w in node.words] == ["echo", "x", "y"]


def test_a_here_doc_s_statement_ends_on_its_own_line():
    text = "cat <<E >>f # note\nbody\nE\nnext"
    node, _ = parse(text.encode()).block.items[0]
    assert text[node.start : node.end] == "cat <<E >>f"


def test_what_follows_a_here_doc_on_its_line_is_bound_as_the_shell_binds_it():
    shapes = {
        "cat <<E | tee x | c\nhi\nE\n": "cat|tee|c",
        "cat >f <<E && b || c\nhi\nE\n": "cat,b,c",
        "cat <<E | tee x && b\nhi\nE\n": "cat|tee,b",
        "a && cat <<E | tee x >y\nhi\nE\n": "a,cat|tee",
        "a | cat <<E | b\nhi\nE\n": "a|cat|b",
    }
    for text, shape in shapes.items():
        node = only(text)
        operands = node.operands if isinstance(node, AndOr) else (node,)
        parts = [o.parts if isinstance(o, Pipeline) else (o,) for o in operands]
        assert ",".join("|".join(p.name for p in some) for some in parts) == shape
        assert text[node.start : node.end] == text.split("\n")[0]
        document = next(p for some in parts for p in some if p.name == "cat")
        assert text[document.start : document.end] in {"cat <<E", "cat >f <<E"}


def test_a_here_doc_may_stand_anywhere_on_a_line():
    for text in (
        "! cat <<E | tee x\nhi\nE\nlast",
        "while read a; do :; done <<E && b\nhi\nE\nlast",
        "cat <<A - <<'B' >f\n1\nA\n2$(\nB\nlast",
        "cat <<A; cat <<-B &\n1\nA\n\t2\n\tB\nlast",
        "(cat <<E)\nhi\nE\nlast",
        "{ cat <<E; }\nhi\nE\nlast",
        "if cat <<E | grep -q x; then\nx\nE\n:; fi; last",
        "cat <<''\nhi\n\nlast",
    ):
        script = parse(text.encode())
        last, _ = script.block.items[-1]
        assert script.slice(last) == b"last"


def test_the_text_of_a_here_doc_is_known_by_its_statement():
    script = parse(b"cat <<A; cat <<B\n1\nA\n2\nB\nx=$(cat <<C\n3\nC\n)\n")
    first, second, assignment = (node for node, _ in script.block.items)
    assert script.whole(first) == b"cat <<A\n1\nA\n"
    assert script.whole(second) == b"cat <<B\n2\nB\n"
    assert script.whole(assignment) == b"x=$(cat <<C\n3\nC\n)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\nif true; then\n", 3),
        ("a\nif x; then\n:\nfi; done\n", 4),
        ("a\necho 'b\n\n", 2),
        ("a\n{ b\n", 2),
        ("a )\n", 1),
        ("a\n\0\n", 2),
    ],
)
def test_an_error_names_its_line(text, line):
    assert parse(text.encode()).error_line == line


@pytest.mark.parametrize(
    "text",
    [
        "echo $'a\\'b' c'",  # dash has no $'...'
        "echo $[1 + 2]",
        "!(a)",
        "!<a b",
        "if(a); then b; fi",
        "echo $((a) ; b)",
        "echo \"${x:-it's}\" '",
        "echo ${ a; }",
        "a &\\\n& b",
        "i\\\nf x",
        "echo 2\\\n>f",
        "a[x y]=1",
        "a[1]=x b",
        "((a # b))",
        "((a 'b)); c'))",
        "((a)\nb c\n)",
        "case a in\n}) b;; esac",
        "a \\",
        "time { a; }",
        "cat <<E\na\\\nE\nE\n",
        "cat <<E\n$(a\nE\n)\nE\n",
        "cat <<$x\na\n$x\n",
        "x=$(cat <<E\na\n)",
        'cat <<E; echo "a\nb"\nhi\nE\n',
    ],
)
def test_what_shells_read_in_different_ways_is_not_understood(text):
    assert parse(text.encode()).error_line is not None


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a | b | c\necho x >f", "Pipeline Command"),
        ("sed s/$/x/ f\na", "Command Command"),
        ("a=1 b=2\n[[ x ]]\nc=3 d=4\n! e\nf=5\n{ g; }", "Opaque Opaque Opaque Compound Opaque Compound"),
        ("f() for i in 1; do b; done\nf", "Function Command"),
        ("coproc P { a; b; }\nc", "Opaque Command"),
        ("coproc a b\nc", "Opaque Command"),
        ("[[ a == @(b|c) && d =~ ^(e|f g)$ ]]\nh", "Opaque Command"),
        ("ls !(a|b) *.@(c|d)\ne", "Command Command"),
        ("((a = (b + 1) << 2))\nc", "Opaque Command"),
        ("((cd a) && b)\nc", "Compound Command"),
        ("for ((i = 0; i < 3; i++)); do a; done\nb", "Compound Command"),
        ("x=(a 'b c' # d )\ne)\nf", "Opaque Command"),
        ("x=`a`/$b-$c.d\ne", "Opaque Command"),
        ("case a in (b) c;; d|e) f;& *) esac\ng", "Compound Command"),
        ("exec 3<>f {fd}>g\na", "Opaque Command"),
        ("a >&2 2>&1 <&- b\nc", "Command Command"),
        ("select x in a; do b; done\nc", "Compound Command"),
        ("function f { a; }\nfunction g() (b)\nc", "Function Function Command"),
        ("f() { a; } >g\nb", "Function Command"),
        ("a <(b; c) > >(d)\ne", "Command Command"),
        ("echo $$(a) 2>&1" + "\nb", ""),
        ("a $(case b in b) c;; esac # it's\n) d\ne", "Command Command"),
        ('a "$(b "c)" "${d:-")"}")" e\nf', "Command Command"),
        ("a\r\nb\r\n\r\n", "Command Command Command"),
        (">f\na", "Opaque Command"),
    ],
)
def test_what_stands_behind_a_construct_is_read_as_it_is(text, kinds):
    script = parse(text.encode())
    assert " ".join(type(node).__name__ for node, _ in script.block.items) == kinds
    assert (script.error_line is None) == bool(kinds)


def test_hostile_depth_is_no_error_of_ours():
    assert parse(b"( " * 5000 + b"a" + b" )" * 5000).error_line is not None


def test_conditions_and_bodies_are_told_apart():
    node = only("if a; then b; elif c; then d; else e; fi")
    assert isinstance(node, Compound)
    assert [len(b.items) for b in node.conditions] == [1, 1]
    assert [len(b.items) for b in node.bodies] == [1, 1, 1]


def test_a_pipeline_keeps_its_redirection_at_the_last_part():
    node = only("a | b >f")
    assert isinstance(node, Pipeline)
    last = node.parts[-1]
    assert isinstance(last, Command)
    assert last.redirects
