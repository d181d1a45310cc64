import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.touches import share, temporary, written
from nodeagent.model.evaluation import Phase


def of(text):
    return {path.decode() for path in written(parse(text.encode()).block.items[0][0])}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("cp -a x y /etc/b", {"/etc/b"}),
        ("cp x /etc/d/", {"/etc/d"}),
        ("install -m 644 x '/etc/b'", {"/etc/b"}),
        ('chmod 600 "${D}/b" c', {"$D/b", "$D/b/", "c"}),
        ("rm -rf /etc/d/", {"/etc/d", "/etc/d/"}),
        ("sed -i s/a/b/ /etc/a /etc/b", {"/etc/a", "/etc/b"}),
        ("sed -i.bak -e s/a/b/ /etc/b", {"/etc/b"}),
        ("sed s/a/b/ /etc/b >/etc/c", {"/etc/c"}),
        ("perl -pi -e s/a/b/ /etc/b", {"/etc/b"}),
        ("touch a b", {"a", "b"}),
        ("RUN chmod 600 /etc/b", {"/etc/b", "/etc/b/"}),
        ("if x; then (cp a b | tee c) && y >d; fi", {"b", "c", "d"}),
        ("x >>/etc/b 2>/dev/null", {"/etc/b"}),
        ("x >>/var/log/b", set()),
        ('cp a "$1"', set()),
        ("systemctl restart /etc/b", set()),
    ],
)
def test_the_paths_that_a_statement_writes_to(text, paths):
    assert of(text) == paths


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("cp a /etc/b", "chmod 600 /etc/b", True),
        ("cp a /etc/d/b", "chmod -R 600 /etc/d", True),
        ("cp a /etc/d/b", "cp b /etc/d/", False),
        ("cp a /etc/bc", "rm /etc/b", False),
    ],
)
def test_two_statements_share_a_file(one, other, expected):
    some, others = (written(parse(text.encode()).block.items[0][0]) for text in (one, other))
    assert share(some, others) is expected
    assert share(others, some) is expected


def test_what_mktemp_makes_is_another_file_each_time():
    assert temporary(parse(b'a=$(mktemp) b="`mktemp -d`"; c=$(mk temp)')) == {b"$a", b"$a/", b"$b", b"$b/"}


def test_a_step_that_comes_to_run_each_time_may_make_others_do_so():
    text = b"if cp a /etc/x; then :; fi\nmv /etc/w /etc/x && cp b /etc/y\nchmod 600 /etc/y\nchmod 600 /etc/z"
    steps = instrument(parse(text), "post.sh", lambda _: True).statements
    assert [(s.phase, s.text) for s in steps] == [(Phase.EXECUTE, "chmod 600 /etc/z")]
