import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.untouchable import untouchable


@pytest.mark.parametrize(
    "text",
    [
        "alias x=y",
        "\\alias x=y",
        "'alias' x=y",
        "command alias x=y",
        "builtin -- alias x=y",
        "time alias x=y",
        "if a; then unalias -a; fi",
        "f() { alias x=y; }",
        "a && ! x=1 alias x=y",
        "eval 'alias x=y'",
        'eval "$(cat <<E\nalias x=y\nE\n)"',
        't="alias x=y"\neval "$t"',
        "x=alias\n$x a=b",
        "x='alias a=b'\n$x",
        'run() { "$@"; }\nrun alias a=b',
        "trap 'alias x=y' EXIT",
        ". /dev/stdin <<E\nalias x=y\nE",
        "f() { alias x=y; } >g",
        "shopt -s lastpipe",
        "command shopt -s lastpipe",
        "for o in lastpipe; do shopt -s $o; done",
        "trap 'x' DEBUG",
        "trap -- 'x' EXIT \"DEBUG\"",
        "for s in DEBUG EXIT; do trap 'x' $s; done",
        "declare -f x",
        'ssh h "$(declare -f x); x"',
        "typeset -fx x",
        "cat <<E\n$(declare -f x)\nE",
        "echo __na_x",
    ],
)
def test_what_would_change_how_the_text_is_read_is_named(text):
    assert untouchable(parse(text.encode())) is not None


@pytest.mark.parametrize(
    "text",
    [
        "alias=$(hostname)",
        "alias=x; echo $alias ${alias}",
        "for alias in a b; do echo $alias; done",
        "cp modules.alias /lib/modules",
        "grep -q alias /etc/x",
        "systemctl disable alias.service",
        "cat >>/etc/profile.d/x.sh <<E\nalias ll='ls -l'\nunalias x\nE",
        "echo \"alias ll='ls -l'\" >>/etc/profile.d/x.sh",
        "$SUDO cp a b; echo \"alias ll='ls -l'\" >>/etc/x",
        "cat >x <<'E'\ndeclare -f x\ntrap x DEBUG\nshopt -s lastpipe\nE",
        "bash -c 'shopt -s lastpipe; alias a=b'",
        "echo DEBUG; trap 'rm -f $x' EXIT",
        "DEBUG=1; trap 'echo x' EXIT",
        "ip link set eth0 alias x",
        "# alias x=y",
    ],
)
def test_the_same_words_as_names_and_texts_do_nothing(text):
    assert untouchable(parse(text.encode())) is None
