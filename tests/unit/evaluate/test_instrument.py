"""What becomes of a statement, and of its near misses."""

import pytest

from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.model.evaluation import Phase

COPY = 'COPY() {\n  mkdir -p "$(dirname "$2")"\n  rsync -av "$1" "$2"\n}\n'
RUN = """RUN() {
  logger -t postscripts "Running $*..."
  "$@"
  code=$?
  logger -t postscripts "$* exited with code $code"
}
"""


def understood(flags):
    return all(flag in {"-a", "-av", "-avz"} for flag in flags)


def instrumented(text):
    return instrument(parse(text.encode()), "post.sh", understood)


def phases(text):
    return [(s.phase, s.text) for s in instrumented(text).statements if not s.asked]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COPY + "COPY ./a /etc/b", [(Phase.COPY, "COPY ./a /etc/b")]),
        ('put() { rsync -a "$1" "$2"; }\nput a b', [(Phase.COPY, "put a b")]),
        ('into() { mkdir -p "$2"; rsync -a "$1" "$2"; }\ninto a b', [(Phase.COPY, "into a b")]),
        ('into() { mkdir -p -- "${2}"; rsync -a "$1" "$2"; }\ninto a b', [(Phase.COPY, "into a b")]),
        (
            'odd() { mkdir -p $2; rsync -a "$1" "$2"; }\nodd a b',
            [(Phase.EXECUTE, "mkdir -p $2"), (Phase.COPY, 'rsync -a "$1" "$2"')],
        ),
        ("rsync -av ./a/ /etc/b/", [(Phase.COPY, "rsync -av ./a/ /etc/b/")]),
        ("rsync -av 'my files/' \"/b c\"", [(Phase.COPY, "rsync -av 'my files/' \"/b c\"")]),
        ('all() { rsync -a "$@"; }\nall a b c', [(Phase.COPY, "all a b c")]),
        ('three() { rsync -a "$1" "$2" "$3"; }\nthree a b c', [(Phase.COPY, "three a b c")]),
        ('odd() { rsync -a "$2" "$1"; }\nodd a b', [(Phase.COPY, 'rsync -a "$2" "$1"')]),
        ("rsync --bwlimit=3 ./a /b", [(Phase.EXECUTE, "rsync --bwlimit=3 ./a /b")]),
        ("cat a >>/etc/b", [(Phase.APPEND, "cat a >>/etc/b")]),
        ("echo a b >> $x", [(Phase.APPEND, "echo a b >> $x")]),
        ("printf '%s\\n' a 2>/dev/null >>b", [(Phase.APPEND, "printf '%s\\n' a 2>/dev/null >>b")]),
        ("cat <<E >>/etc/b\ntext\nE\n", [(Phase.APPEND, "cat <<E >>/etc/b")]),
        ("echo a >/etc/b", [(Phase.WRITE, "echo a >/etc/b")]),
        ("echo a | tee -a /etc/b", [(Phase.APPEND, "echo a | tee -a /etc/b")]),
        ("echo a | tee /etc/b >/dev/null", [(Phase.WRITE, "echo a | tee /etc/b >/dev/null")]),
        ("systemctl restart x", [(Phase.EXECUTE, "systemctl restart x")]),
        ("date >>/etc/b", [(Phase.EXECUTE, "date >>/etc/b"), (Phase.APPEND, "date >>/etc/b")]),
        ("date >>/var/log/b", [(Phase.EXECUTE, "date >>/var/log/b")]),
        ("date >/etc/b", [(Phase.EXECUTE, "date >/etc/b")]),
        ("pwd >>/etc/b", [(Phase.APPEND, "pwd >>/etc/b")]),
        ("tee /etc/b <a", [(Phase.WRITE, "tee /etc/b <a")]),
        ("find . | xargs chmod 600", [(Phase.EXECUTE, "find . | xargs chmod 600")]),
        ("systemctl stop x || true", [(Phase.EXECUTE, "systemctl stop x || true")]),
        ("slurmd -D &", [(Phase.EXECUTE, "slurmd -D")]),
        ("kill -HUP 1", [(Phase.EXECUTE, "kill -HUP 1")]),
        (RUN + "RUN mount_all -v", [(Phase.EXECUTE, "mount_all -v")]),
        ("if a; then b; else c; fi", [(Phase.EXECUTE, "b"), (Phase.EXECUTE, "c")]),
        ("for x in 1 2; do touch $x; done", [(Phase.EXECUTE, "touch $x")]),
        ("case $1 in a) b;; *) c;; esac", [(Phase.EXECUTE, "b"), (Phase.EXECUTE, "c")]),
        ("[ -f x ] && systemctl restart y", [(Phase.EXECUTE, "systemctl restart y")]),
        ("setup() { useradd x; }\nsetup", [(Phase.EXECUTE, "useradd x")]),
        ("( cd /x && make )", [(Phase.EXECUTE, "make")]),
        ("a && echo x >>f", [(Phase.APPEND, "echo x >>f")]),
    ],
)
def test_a_statement_whose_meaning_is_known_becomes_a_step(text, expected):
    assert phases(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x=1; export y=2; cd /; set -e; umask 077; : ; true",
        "if systemctl is-active x; then :; fi",
        "x=$(hostname)",
        "hostname -s",
        "hostname | grep x",
        "while ! id slurm; do sleep 1; done",
        "until [ -e /x ]; do touch /tmp/y; done",
        "sleep 3",
        "systemctl is-active x\ncase $? in 0) :;; esac",
        "ready() { systemctl is-active x; }\nif ready; then :; fi",
        "list() { ls /etc; }\nx=$(list)",
        "echo a >&2",
        "read x </etc/y",
        "$(which x) a",
        "! mountpoint /x",
        "trap 'rm x' EXIT",
    ],
)
def test_a_statement_that_may_decide_something_stays_shell(text):
    assert phases(text) == []
    assert instrumented(text).text == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "alias x=y\nx",
        "a | b; echo ${PIPESTATUS[0]}",
        "echo $_",
        "export -f x",
        "printf() { :; }\necho a >>b",
    ],
)
def test_a_program_that_would_see_the_verbs_is_run_whole(text):
    result = instrumented(text)
    assert result.whole
    assert result.text == text.encode()


def test_a_function_that_is_also_called_in_a_pipeline_is_left_alone():
    assert phases("f() { systemctl restart x; }\nf\nf | cat") == [(Phase.EXECUTE, "f | cat")]


def test_a_function_named_in_a_trap_is_left_alone():
    assert phases("clean() { rm -rf /x; }\ntrap clean EXIT") == []


def test_what_stands_behind_a_program_in_a_list_is_not_skipped_alone():
    """``systemctl stop x && COPY a b && systemctl start x``: stop runs always, so start must."""
    text = COPY + "systemctl stop x && COPY a b && systemctl start x"
    assert [phase for phase, _ in phases(text)] == [Phase.COPY]


def test_copy_in_a_condition_is_native_and_keeps_its_status():
    assert b"if __na_cp 0 COPY a b; then" in instrumented(COPY + "if COPY a b; then :; fi").text


def test_lines_and_line_numbers_stay():
    text = COPY + RUN + "\n# c\nCOPY a b\n\ncat <<E >>x\n1\n2\nE\nRUN y \\\n  z\n"
    result = instrumented(text)
    assert result.text.count(b"\n") == text.count("\n")
    for statement in result.statements:
        assert statement.text.split()[0] in text.splitlines()[statement.line - 1]


def test_equal_statements_have_different_keys_that_do_not_depend_on_the_line():
    first, second = instrumented("touch x\ntouch x\n").statements
    assert first.key != second.key
    assert instrumented("# moved\n\ntouch x\ntouch x\n").statements[1].key == second.key


def test_the_loggers_of_a_run_function_become_verbs_and_its_variables_stay():
    text = instrumented(RUN + "RUN x").text.decode()
    assert '__na_log -t postscripts "Running $*..."' in text
    assert '__na_run "$@"' in text
    assert "code=$?" in text


def test_a_logger_that_reads_its_input_stays_a_program():
    text = 'RUN() { logger -t x <<E\nhi\nE\n "$@"; }\nRUN y'
    assert b"__na_log" not in instrumented(text).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ echo a; hostname; } >/etc/b", [(Phase.WRITE, "{ echo a; hostname; } >/etc/b")]),
        ("for x in 1 2; do echo $x; done >>/etc/b", [(Phase.APPEND, "for x in 1 2; do echo $x; done >>/etc/b")]),
        (
            "{ echo a; useradd x; } >>/etc/b",
            [(Phase.APPEND, "{ echo a; useradd x; } >>/etc/b"), (Phase.EXECUTE, "useradd x")],
        ),
        ("{ echo a; useradd x; } >/var/log/b", [(Phase.EXECUTE, "useradd x")]),
        ("{ echo a; exit 1; } >/etc/b", [(Phase.WRITE, "{ echo a; exit 1; } >/etc/b")]),
        ("gen() { lsblk; useradd x; }\ngen >/etc/b", []),
        ("lspci | grep -q NVIDIA && modprobe y", [(Phase.EXECUTE, "modprobe y")]),
        ("id x || useradd x", [(Phase.EXECUTE, "useradd x")]),
        ("grep x f >/etc/b", [(Phase.EXECUTE, "grep x f >/etc/b")]),
        ("hostname -F/etc/x", [(Phase.EXECUTE, "hostname -F/etc/x")]),
        ("hostname --file=/etc/x | cat", [(Phase.EXECUTE, "hostname --file=/etc/x | cat")]),
        ("hostname x && reboot", [(Phase.EXECUTE, "hostname x && reboot")]),
        ("mount /x || exit 1", [(Phase.EXECUTE, "mount /x")]),
        ("die() { echo $1; exit 1; }\nmount /x || die no", [(Phase.EXECUTE, "mount /x")]),
        (RUN + "RUN x || true", [(Phase.EXECUTE, "x")]),
        (RUN + "RUN x || logger failed", [(Phase.EXECUTE, "x")]),
        (RUN + "RUN x || RUN y", []),
        ("fix() { umount /x; }\nmount /x || fix", []),
        ("! a | b", []),
        ("$SUDO $(which x) y", []),
        ("echo a >/etc/*.conf", []),
    ],
)
def test_what_a_statement_s_surroundings_make_of_it(text, expected):
    assert phases(text) == expected


def test_a_gate_names_all_that_a_command_may_turn_out_to_be():
    assert instrumented('$SUDO "$X" cd /x').text.startswith(b'if __na_go 0 $SUDO "$X"; then ')
    assert instrumented("$SUDO cd /x").text.startswith(b"if __na_go 0 $SUDO cd; then ")
    assert instrumented("a || b && c").text.startswith(b"if __na_go 0 a b c; then ")


def test_nothing_is_native_beside_an_ambiguous_redirection():
    assert phases(COPY + "COPY a b &>/dev/null") == []
    assert phases("echo a &>>/etc/b") == []
    assert phases("{ touch x; echo a >>b; } &>/dev/null") == []
