"""The places where the grammar's tree is put right."""

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.syntax import AndOr, Command, Compound, Opaque, Pipeline


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


def test_what_hangs_below_a_here_doc_otherwise_is_opaque():
    for text in ("! cat <<E | tee x\nhi\nE\n", "while read a; do :; done <<E && b\nhi\nE\n"):
        node = only(text)
        assert isinstance(node, Opaque)
        assert not node.known


def test_an_error_names_its_line():
    assert parse(b"a\nb\nif true; then\n").error_line is not None
    assert parse(b"cat <<A <<B\n1\nA\n2\nB\n").error_line == 1


def test_a_reserved_word_as_a_command_means_that_the_tree_is_wrong():
    assert parse(b"a\nif x; then\n:\nfi; done\n").error_line is not None


def test_an_argument_on_another_line_means_that_the_tree_is_wrong():
    text = b'if a; then\n  cat "$1" | $b $c | $d $e -x${f}f -\nelse\n  echo "$g" 1>&2\n  exit 1\nfi\n'
    assert parse(text).error_line == 3
    assert parse(b"a \\\n  b \\\n  c\n").error_line is None


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
