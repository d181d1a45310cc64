"""Random post.sh programs from a grammar of what sites write; for hypothesis.

Every program ends: loops count, and no function calls itself. What must run at every apply, since its status or output
decides something, mostly writes to other destinations than what nodeagent does natively or gates as a step.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

Text = st.SearchStrategy[str]

PROLOGUE = """COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -a "$1" "$2"
}
RUN() {
  logger -t postscripts "Running $*"
  "$@"
  code=$?
  logger -t postscripts "$* exited with code $code"
  return $code
}
quiet() { "$@" >/dev/null; }
D=/etc
Q=/opt
v=old
"""
EXTRAS = (
    "", "", "", "set -e\n", "set -u\n", "set -eu\n", "cd files\ncd ..\n", "umask 027\n", "trap 'echo end $?' EXIT\n",
)  # fmt: skip
STEPS = ("/etc/x", "/etc/y", "/srv/z", "/etc/hosts", '"/etc/x"', '"$D/v"', "${D}/v")
ASKED = ("/opt/x", "/opt/y", "'/opt/z'", '"/opt/x"', '"$Q/v"', "${Q}/v")
SOURCES = ("files/a", "files/b", "files/c", "files/none")
WORDS = (
    "plain", "'two words'", '"$v"', "$v", '"$1"', "$#", '"$(cat files/a)"', "\\$", '"it\'s"', "''", "${v:-none}", "*a",
)  # fmt: skip
# ... a here-doc's operator on its line.
BEHIND = ("", "", "; step 0 behind", " && step 0 behind", " || echo failed", " # it's \"a note")


@dataclass(frozen=True, slots=True)
class Program:
    """``text`` has the first line ``#!/bin/sh``; hypothesis shows it as it is."""

    text: str

    def __repr__(self) -> str:
        return f"\n{self.text}"


def _joined(*parts: str | Text) -> Text:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
source = st.sampled_from(SOURCES)
step = _joined("step ", st.sampled_from(["0", "0", "0", "1", "3"]), " ", words)
shell = st.one_of(
    st.sampled_from(["true", "false", ":", "v=new", "cd /", "cd /configs", "shift 2>/dev/null || :"]),
    st.sampled_from(["set -e", "set +e"]),
    _joined("echo ", words),
    _joined("v=", st.sampled_from(WORDS)),
    st.sampled_from(
        ["set -- x 'y z'", "k=$((${k:-0} + 1))", "v=$((2 * 3))", "readonly r=1", "export v", "unset v; v=old"]
    ),
    _joined("v=$(", step, ")"),
)
test = st.sampled_from(
    ["true", "false", "[ -e /etc/x ]", "[ -f files/a ]", '[ "$v" = new ]', "[ $# -gt 0 ]", "grep -q first /opt/x"]
)
operator = st.sampled_from([">", ">>", ">>"])
saying = st.one_of(_joined("echo ", words), _joined("printf '%s\\n' ", words), _joined("cat ", source))
printing = st.one_of(saying, st.just("printf 'no end'"))


def _lines(destinations: tuple[str, ...]) -> tuple[Text, Text]:
    """Statements on one line, and those with more."""
    to = st.sampled_from(destinations)
    line = st.one_of(
        step,
        _joined(printing, " >", st.one_of(to, to, st.just("/etc/passwd/none"))),
        _joined("echo ", words, " @ >>", st.one_of(to, to, st.just("/etc/passwd/none"))),
        _joined("echo ", words, " @ | tee ", st.sampled_from(["", "-a "]), to, st.sampled_from(["", " >/dev/null"])),
        _joined(st.sampled_from(["COPY ", "rsync -a ", "rsync -rlptgoD "]), source, " ", to),
        _joined("RUN ", step),
        _joined("quiet ", step),
        _joined(st.sampled_from(["command ", "env ", "env A=1 ", "A=1 "]), step),
        _joined(test, " && { ", step, "; }"),
        _joined("(cd /srv && ", step, ")"),
        _joined(st.sampled_from(["sed -i s/t/T/ ", "sed -i s/$/x/ ", "chmod 0600 ", "touch ", "grep -q first "]), to),
        _joined("cp ", source, " ", to),
        _joined("sort ", source, " >", to),
        _joined(printing, " | sort | tr a b >", to),
        st.just("mkdir -p /srv/d"),
        shell,
    )
    document = st.tuples(operator, to, st.sampled_from(["EOF", "'EOF'"]), words, st.sampled_from(BEHIND)).map(
        lambda p: f"cat {p[0]}{p[1]} <<{p[2]}{p[4]}\ntext {p[3]} @\nEOF"
    )
    two = st.tuples(operator, to, operator, to, words).map(
        lambda p: f"cat {p[0]}{p[1]} <<A; cat <<'B' {p[2]}{p[3]}\none {p[4]} @\nA\ntwo $v @\nB"
    )
    return line, st.one_of(line, line, line, document, st.one_of(document, two))


line, simple = _lines(STEPS)
asked_line, asked_simple = _lines(ASKED)
condition = st.one_of(test, asked_line, _joined("! ", step))


def _body(inner: Text) -> Text:
    return st.lists(inner, min_size=1, max_size=3).map("\n".join)


def _control(inner: Text, function: str) -> Text:
    """Compounds whose bodies stand as their whole stands."""
    body = _body(inner)
    return st.one_of(
        _joined("if ", condition, "; then\n", body, "\nfi"),
        _joined("if ", condition, "\nthen\n", body, "\nelse\n", body, "\nfi"),
        _joined("for i in 1 2; do\n", body, "\ndone"),
        _joined("n=0; while [ $n -lt 2 ]; do n=$((n + 1))\n", body, "\ndone"),
        _joined("while read -r line; do\n", body, "\ndone <files/b"),
        _joined("case $v in n*) ", body, "\n;; *) ", body, "\n;; esac"),
        _joined("m=2; until [ $m -le 0 ]; do m=$((m - 1))\n", body, "\ndone"),
        _joined('for i in "$@"; do\n', body, "\ndone"),
        _joined("for i; do\n", body, "\nbreak\ndone"),
        _joined("case $v in old|'two words') ", body, "\n;; [a-n]*) ", body, "\n;; esac"),
        _joined("(cd /srv\n", body, "\n)"),
        _joined(f"{function}() {{\nlocal v=inner i\n", body, f"\nreturn 0\n}}\n{function} a 'b c'"),
        _joined(f"{function}() {{\n{function}_in() {{\n", body, f"\n}}\n{function}_in\n}}\n{function}"),
        _joined("while [ $# -gt 0 ]; do\n", body, "\nshift $#\ndone"),
        _joined("{ ", body, "\n}"),
        _joined("( ", body, "\n)"),
        _joined(f"{function}() {{\n", body, f"\n}}\n{function}"),
        _joined(f"{function}() for i in 1 2; do\n", body, f"\ndone\n{function}"),
    )


asked = st.recursive(asked_simple, lambda inner: _control(inner, "asked"), max_leaves=4)
# What is appended beside the shell, or in the middle of what it leaves; mostly to files that nothing else writes to.
aside = st.sampled_from(("/srv/out/a", "/srv/out/b", "/srv/out/a", "/etc/x", '"$D/v"'))
# Unlike what stands there already, which would be adopted; it says nothing on stderr, which no pipeline keeps in order.
own = st.one_of(_joined("echo ", words, " @"), _joined("printf '%s\\n' ", words, " @"))
text = st.one_of(
    _joined(st.sampled_from(["echo ", "printf '%s\\n' "]), words, " @ >>", aside),
    _joined("echo ", words, " @ | tee -a ", aside, st.sampled_from(["", " >/dev/null"])),
    _joined("{ ", own, "; echo more @; } >>", aside),
    _joined("for i in 1 2; do echo $i @; done >>", aside),
)
brief = st.one_of(_joined("echo ", words, " @ >>", aside), _joined("printf '%s\\n' ", words, " @ >>", aside))
quoted = st.sampled_from(
    (
        "echo later @ >>/srv/out/a", "printf %s later @ >>/srv/out/a; step 0 later", "echo $v $? @ >>/srv/out/b",
        "if true; then echo later @; fi >>/etc/x", "echo later @ | tee -a /srv/out/a", "false; echo $? @ >>/srv/out/b",
    )
)  # fmt: skip
leaving = st.sampled_from(["break", "continue", "[ $i = 2 ] && break", "[ $i = 1 ] || continue", "exit 3", "break 2"])
besides = st.one_of(
    _joined("v=$(", text, ")"),
    _joined("v=$(", saying, "; ", text, '); echo "$v"'),
    _joined('echo "in $(', text, '; step 0 in)"'),
    _joined("{ ", text, "\n", own, "\n} | cat"),
    _joined("cat files/b files/a | while read -r line; do ", text, "\n", own, "\ndone"),
    _joined("cat files/b | while read -r line; do { ", own, "; break; } >>", aside, "; done"),
    _joined("piped() {\n", brief, "\n", own, "\n}\npiped one | cat\npiped two"),
    _joined("piped() {\n", brief, ' && return 3\n}\nv=$(piped); echo $?\npiped || echo "$?"'),
    _joined("eval '", quoted, "'"),
    _joined("sh -c '", quoted, "'"),
    _joined("trap '", quoted, "' EXIT"),
    _joined("{ ", brief, "\n} &\nwait"),
    _joined("( set -e\n{ ", own, "; false; echo no; } >>", aside, "\n) || echo failed $?\ncat ", aside),
    _joined("for i in 1 2; do { ", own, "\n", leaving, "\necho behind @; } >>", aside, "\ndone"),
    _joined("left() { { ", own, "; ", test, " && return 4; echo on @; } >>", aside, "\n}\nleft a || echo $?"),
    _joined("redirected() {\n", own, '\necho "$1" @\n} >>', aside, "\nredirected a"),
    _joined("echo ", words, " $? @ >>", aside),
    _joined("{ ", own, "; echo $? @; } >>", aside),
    _joined('F="', "/srv/out/a /srv/out/b", '"; echo ', words, " @ | tee -a $F"),
    _joined("{ COPY ", source, " /srv/out/c; ", saying, "; } >/srv/out/9 2>&1"),
)
lists = st.one_of(
    besides,
    besides,
    _joined(line, "; ", line),
    _joined(test, " && ", line),
    _joined(step, " || ", st.sampled_from(["true", ":", "echo failed", "step 0 else", "exit 9"])),
    _joined(line, " || ", st.sampled_from(["true", ":", "echo failed", "exit 9"])),
    _joined(asked_line, " && ", step),
    _joined(asked_line, " || ", asked_line, " && ", step),
    _joined("! ", asked_line),
    _joined("v=new k=1\n! ", asked_line),
    _joined("v=old k=2\n{ ", line, "; }"),
    _joined(step, " | sort | cat\n", line),
    _joined(asked_line, '\necho "was $?"'),
    _joined(step, " | cat"),
    _joined(step, " &\nwait"),
    # What compounds write to is written by nothing else.
    _joined("{ ", _body(asked), "\n} >/srv/out/1"),
    _joined("{ ", _body(simple), "\n} >>/srv/out/2"),
    _joined("if ", condition, "; then\n", _body(asked), "\nfi >/srv/out/1"),
    _joined("for i in a b; do\n", _body(simple), "\ndone >>/srv/out/3"),
    _joined("while read -r line; do\n", _body(asked), "\ndone <files/b >/srv/out/4"),
    _joined("{ ", _body(st.one_of(saying, step, test)), "\n} >/srv/out/5 2>&1"),
    _joined("said() {\n", _body(saying), "\ncat <<EOF\ntext $v\nEOF\n}\nsaid >/srv/out/6\nsaid >>/srv/out/7"),
    _joined("( ", _body(simple), "\n) || echo or"),
    _joined("inner() {\n", _body(asked), "\n}\ninner || echo failed"),
    _joined("inner() {\n", _body(asked), "\n}\nv=$(inner)\nRUN inner"),
)
statement = st.recursive(
    st.one_of(simple, simple, lists), lambda inner: st.one_of(_control(inner, "f"), lists), max_leaves=6
)


def _program(extra: str, statements: list[str], end: str) -> Program:
    """Each ``@`` becomes a number of its own: text that stands in a file already would be adopted, not appended."""
    first, *others = "\n".join([*statements, end]).split(" @")
    numbered = "".join(f" {number}{part}" for number, part in enumerate(others))
    return Program(f"#!/bin/sh\n{PROLOGUE}{extra}\n{first}{numbered}")


programs = st.builds(
    _program,
    st.sampled_from(EXTRAS),
    st.lists(statement, min_size=1, max_size=7),
    st.sampled_from(["", "", "", "exit\n", "exit 4\n", "step 5\n", "true\n"]),
)
