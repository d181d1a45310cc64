"""Every form of appending: two full evaluations append once; a form that cannot, ``nodeagent lint`` tells."""

import os

import pytest

from nodeagent.lint.check import lint
from nodeagent.lint.reading import read
from nodeagent.lint.syntax import asking
from tests.equivalence.case import DEFAULTS, SHELLS, for_shell
from tests.equivalence.compare import deviations
from tests.equivalence.root import File
from tests.equivalence.sandbox import Order

# One a line, ``;;`` for the end of a line of post.sh; behind ``bash:`` what only bash knows.
ONCE = r"""
echo x >>/etc/f
>>/etc/f echo x
echo x 1>>/etc/f
echo >>/etc/f x
F=/etc/f; echo x >>$F
F=/etc/f; echo x >>"${F}"
echo x >>~/f
echo x >>"$(echo /etc/f)"
echo x >>"/etc/$(printf '%s' "f")"
cd /etc; echo x >>./f
printf '%s\n' x y >>/etc/f
echo x >>/etc/f 2>&1
echo x >>/etc/f 2>/dev/null
echo x >&2 2>>/etc/f
LC_ALL=C echo x >>/etc/f
cat files/a files/b >>/etc/f
cat <files/a >>/etc/f
cat files/a >>/etc/f >>/etc/g
echo x >/etc/f >>/etc/g
cat >>/etc/f <<E;;x;;E
cat <<'E' >>/etc/f;;$x;;E
cat - files/a >>/etc/f <<E;;x;;E
echo "$(cat files/a)" >>/etc/f
echo $? >>/etc/f
false; echo $? >>/etc/f
printf '%s\n' "$?" >>/etc/f
step 3; echo "step: $?" >>/etc/f; echo "still $?"
set -e; step 3 && :; echo "step: $?" >>/etc/f
cat <<E >>/etc/f;;status $?;;E
false; { echo $?; pwd; echo $?; } >>/etc/f
false; ( echo $? ) >>/etc/f
false; if [ $? = 1 ]; then echo no; fi >>/etc/f
false; echo $? | tee -a /etc/f
f() { echo "$? $1"; }; false; f $? >>/etc/f
pwd >>/etc/f
umask >>/etc/f
ulimit -n >>/etc/f
type echo >>/etc/f
command -v echo >>/etc/f
command echo x >>/etc/f
trap >>/etc/f
cd /srv >>/etc/f; pwd >>/etc/f
hostname >>/etc/f
uname -s >>/etc/f
sort files/a >>/etc/f
sed s/f/g/ files/a >>/etc/f
grep first files/a >>/etc/f
grep none files/a >>/etc/f
id -un >>/etc/f
id -un >>/etc/f || true
ls files >>/etc/f
awk '{print}' files/a >>/etc/f
step 0 >>/etc/f
step 0 >>/etc/f 2>&1
step 3 >>/etc/f
set -e; step 3 >>/etc/f; echo not reached
step 3 >>/etc/f || echo failed
step 0 >>/etc/f && step 0 >>/etc/g && echo yes
step 1 >>/etc/f || step 0 >>/etc/f
if step 0 >>/etc/f; then echo yes; fi
ls /none 2>>/etc/f || true
step 0 >>/etc/f 2>>/etc/g
sh -c 'echo x' >>/etc/f
env echo x >>/etc/f
A=1 step 0 >>/etc/f
E=echo; $E x >>/etc/f
\echo x >>/etc/f
nohup echo x >>/etc/f
RUN() { logger x; "$@"; }; RUN step 0 >>/etc/f
RUN() { logger x; "$@"; }; RUN step 3 >>/etc/f || echo failed
RUN() { logger x; "$@"; }; if RUN step 0 >>/etc/f; then echo yes; fi
{ echo x; echo y; } >>/etc/f
{ echo x >&2; } 2>>/etc/f
{ step 0; } >>/etc/f
{ hostname | cat; } >>/etc/f
( cd /; pwd ) >>/etc/f
( echo x; exit 3 ) >>/etc/f; echo $?
( step 0; exit 0; echo y ) >>/etc/f
for i in 1 2; do echo $i; done >>/etc/f
for i in 1 2; do echo $i >>/etc/f; done
for i in 1 2; do echo $i; break; done >>/etc/f
for i in 1 2; do [ $i = 1 ] && continue; echo $i; done >>/etc/f
for i in 1 2; do step 0 $i >>/etc/f; done
while read -r l; do echo "$l"; done <files/b >>/etc/f
n=0; until [ $n = 2 ]; do n=$((n+1)); echo $n; done >>/etc/f
if true; then echo x; fi >>/etc/f
case a in a) echo x;; esac >>/etc/f
f() { echo x; }; f >>/etc/f
f() { echo x >>/etc/f; }; f
f() { echo "$1" >>"$2"; }; f x /etc/f
f() { step 0; }; f >>/etc/f
f() { [ -n "$1" ] || return 0; echo $1; }; f x >>/etc/f
f() { echo x >>/etc/f; }; f && true
f() { echo "$1" | tee -a "$2" >/dev/null; }; f x /etc/f
echo x | tee -a /etc/f
echo x | tee -a /etc/f >/dev/null
echo x | tee --append /etc/f
echo x | tee -a -- /etc/f
echo x | tee -ai /etc/f
echo x | tee -i -a /etc/f
echo x | tee /etc/f -a
echo x | tee -a /etc/f /etc/g
echo x | tee -a /etc/f >>/etc/g
echo x | tee -a /etc/f | cat
echo x | tee -a /etc/f | tee -a /etc/g
echo x | cat | tee -a /etc/f
F=/etc/f; echo x | tee -a $F
F=/etc/f; echo x | tee -a "$F"
hostname | tee -a /etc/f
step 0 | tee -a /etc/f
step 3 | tee -a /etc/f; echo $?
echo x | tee -a /etc/f && echo ok
f() { echo x; }; f | tee -a /etc/f
echo x | cat >>/etc/f
printf 'a\n' | sed s/a/b/ >>/etc/f
yes | head -n 2 >>/etc/f
cat files/b | while read -r l; do echo "$l"; done >>/etc/f
cat files/b | { cat; echo x; } >>/etc/f
false | echo $? >>/etc/f
set -e; step 3 | cat >>/etc/f; echo "was $?"
tee -a /etc/f <<E;;x;;E
tee -a /etc/f >/dev/null <<E;;x;;E
tee -a /etc/f <<E >/dev/null;;x;;E
tee -a /etc/f <files/a
tee -a /etc/f /etc/g <files/a
tee -a /etc/f >>/etc/g <files/a
tee -a "/etc/f" <files/a >/dev/null || exit 1
true && { echo x; echo y; } >>/etc/f
[ -e /etc/hosts ] && echo x >>/etc/f
grep -q x /etc/f 2>/dev/null || echo x >>/etc/f
grep -qxF x /etc/f 2>/dev/null || { echo x; } >>/etc/f
! echo x >>/etc/f
if ! echo x >>/etc/f; then :; fi
echo x >>/etc/f; [ $? = 0 ] || exit 1
while echo x >>/etc/f; do break; done
( echo x >>/etc/f )
set -C; echo x >>/etc/f
cat /etc/hosts >>/etc/f
cat files/none >>/etc/f
cat /etc/f >>/etc/g
: >>/etc/f
. ./lib.sh
echo x >>/etc/f; sed -i s/x/y/ /etc/f
date +%s%N >>/etc/f
F="/etc/f /etc/g"; echo x | tee -a $F
F="/etc/f /etc/g"; echo x | tee -a $F >/dev/null; cat /etc/g
F=; echo x | tee -a $F /etc/f; echo $?
""".strip().splitlines()
# Left in their middle, or by a subshell's end: in every shell, since each leaves in a way of its own.
LEFT = r"""
f() { echo x; } >>/etc/f; f
f() { { echo a; return 0; } >>/etc/f; }; f
echo x >>$(echo /etc/f)
f() { echo "$1 $?"; } >>"$2"; false; f x /etc/f
f() ( echo x; return 3; echo y ) >>/etc/f; f; echo $?
f() { { echo a; return 3; } >>/etc/f; }; f; echo $?; [ -s /etc/f ] && echo there
f() { { echo a; false; return; } >>/etc/f; }; f || echo $?; [ -s /etc/f ] && echo there
f() { { { echo a; return; } >>/etc/f; } >>/etc/g; echo never; }; f; cat /etc/f
f() { for i in 1 2; do { echo $i; return 2; } >>/etc/f; done; }; set -e; f || echo $?
for i in 1 2; do { echo $i; break; } >>/etc/f; done; [ -s /etc/f ] && echo there
for i in 1 2; do { echo $i; continue; } >>/etc/f; wc -l </etc/f; done; cat /etc/f
for i in 1 2; do for j in 1 2; do { echo $i $j; continue 2; } >>/etc/f; done; done; cat /etc/f
for i in 1 2; do { for j in 1 2; do echo $j; break 2; done; echo no; } >>/etc/f; done; cat /etc/f
for i in 1 2; do { for j in 1 2; do echo $j; break; done; } >>/etc/f; done; cat /etc/f
for i in 1 2; do { echo a; [ $i = 2 ] || break; echo b; } >>/etc/f; done; cat /etc/f
for i in 1 2; do { { echo $i; break; } >>/etc/f; } 2>>/etc/g; done; cat /etc/f
while :; do { echo a; break 9; } >>/etc/f; done
{ echo a; exit 3; } >>/etc/f
{ echo a; [ -e /none ] || exit 3; echo b; } >>/etc/f
( { echo a; exit 3; } >>/etc/f ); echo $?; [ -s /etc/f ] && echo there
f() { { echo a; exit 3; } >>/etc/f; }; ( f ); echo $?; [ -s /etc/f ] && echo there
( set -e; { echo a; false; } >>/etc/f ); [ -s /etc/f ] && echo there
( set -e; { echo a; false; } >>/etc/f ) || echo $?; [ -s /etc/f ] && echo there
set -e; ( { echo a; false; } >>/etc/f ) && :; [ -s /etc/f ] && echo there
set -e; ( { echo a; false; } >>/etc/f ); echo no
if ( { echo a; exit 1; } >>/etc/f ); then :; else [ -s /etc/f ] && echo there; fi
trap 'cat /etc/f' EXIT; { echo a; } >>/etc/f; exit 2
trap 'echo bye' EXIT; { echo a; exit 2; } >>/etc/f
""".strip().splitlines()
# Beside the shell: by another process that it waits for or does not, or in a text that it reads later.
BESIDE = r"""
v=$(echo x >>/etc/f)
echo "$(echo x | tee -a /etc/f)"
eval 'echo x >>/etc/f'
trap 'echo x >>/etc/f' EXIT
echo x >>/etc/f & wait
{ echo x >>/etc/f; } & wait
cat files/b | while read -r l; do echo "$l" >>/etc/f; done
f() { echo x >>/etc/f; }; f | cat
f() { echo x >>/etc/f; }; v=$(f)
sh -c 'echo x >>/etc/f'
v=$(echo x >>/etc/f; echo y); echo "$v"; cat /etc/f
echo "a $(echo x >>/etc/f; cat /etc/f) b"
v=$(set -e; { echo a; false; echo b; } >>/etc/f); echo $?; step 0
v=$({ echo a; exit 4; } >>/etc/f); echo $?; step 0
f() { { echo "$1"; return 3; } >>/etc/f; }; v=$(f x); echo $?; f y; cat /etc/f
f() { echo "$1" >>/etc/f; }; f a; v=$(f b); f c | cat; f d; cat /etc/f
f() { for i in 1 2; do { echo $i; break; } >>/etc/f; done; }; f | cat; cat /etc/f
f() { echo x | tee -a /etc/f; }; f | tr x y
f() { echo x >>/etc/f; g; }; g() { echo y >>/etc/f; }; f | cat; g
cat <<E >/srv/x;;$(echo x >>/etc/f; cat /etc/f);;E
v="$(cat <<E;;in;;E;;echo y >>/etc/f)"; echo "$v"
: ${v:=$(echo x >>/etc/f)}
case $(echo x >>/etc/f; echo a) in a) cat /etc/f;; esac
for i in $(echo x >>/etc/f; echo 1 2); do echo $i >>/etc/f; done
echo $(( $(echo x >>/etc/f; echo 2) + 1 ))
eval "echo x >>/etc/f"; cat /etc/f
eval 'for i in 1 2; do echo $i; done >>/etc/f'
x=3; eval 'echo "$x" >>/etc/f; v=$x'; echo $v
eval 'echo "it is" >>/etc/f;;echo $? >>/etc/f'
trap "echo x >>/etc/f" EXIT; exit 3
trap 'echo $? >>/etc/f; cat /etc/f' EXIT; step 3; exit 4
trap 'f' EXIT; f() { echo x >>/etc/f; }
set -e; trap 'echo $? >>/etc/f' EXIT; false
sh -c "echo x >>/etc/f"; cat /etc/f
sh -c 'echo "$0 $1" >>/etc/f; exit 3' a b; echo $?
dash -c 'echo x | tee -a /etc/f'
if sh -c 'echo x >>/etc/f'; then cat /etc/f; fi
{ echo x >>/etc/f; step 0; } 2>&1 | tee /srv/x
{ echo a >>/etc/f; echo b; } | { cat; echo c >>/etc/f; } | while read -r l; do echo "$l" >>/etc/g; done
cat files/b | while read -r l; do { echo "$l"; continue; } >>/etc/f; done; cat /etc/f
cat files/b files/a | while read -r l; do echo "$l" >>/etc/f; done; [ -s /etc/f ] && cat /etc/f
( cd /srv; echo x >>f ) & wait; cat /srv/f
echo x >>/etc/f & pid=$!; wait $pid; echo $?
f() { echo x >>/etc/f; }; f & f & wait
{ ( trap 'echo in >>/etc/f' EXIT; exit 2 ); echo $?; } >>/etc/g; cat /etc/g
for i in 1 2 3; do v=$({ echo $i; [ $i = 2 ] && exit 3; echo on; } >>/etc/f); done
step 0 & v=$(uname -s >>/etc/f); wait
step 0 & for i in 1 2; do { uname -s; } >>/etc/f; done | cat; wait
set -u; v=$(echo x >>/etc/f); cat /etc/f
set -e; cat files/b | while read -r l; do echo "$l" >>/etc/f; false; echo no; done; echo "end $?"
""".strip().splitlines()
# Many at once: in which order is anybody's.
AT_ONCE = r"""
i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i >>/etc/f & done; wait; sort -n /etc/f
i=0; while [ $i -lt 9 ]; do i=$((i+1)); { echo $i >>/etc/f; echo $i >>/etc/g; } & echo "main $i" >>/etc/h; done; wait
f() { for i in 1 2 3 4; do echo "$1 $i" >>/etc/f; done; }; f a & f b & f c | cat; f d; v=$(f e); wait
f() { while read -r l; do echo "$1 $l" >>/etc/f; echo "$l"; done; }; seq 9 | f a | f b | f c >/dev/null
""".strip().splitlines()
# The forms of docs/spec.md that are the shell's.
AGAIN = r"""
exec 3>>/etc/f; echo x >&3; exec 3>&-
exec >>/etc/f; echo x
{ echo x >&3; } 3>>/etc/f
n=1; for i in 1 2; do { echo $i; break $n; } >>/etc/f; done
IFS=:; F=/etc/f:/etc/g; echo x | tee -a $F
IFS=:; F=/etc/f; echo x | tee -a $F
echo x >>/etc/[f]
awk '{print >> "/etc/f"}' files/a
dd if=files/a oflag=append conv=notrunc of=/etc/f 2>/dev/null
alias e=echo; echo x >>/etc/f
trap 'echo x >>/etc/f' USR1; kill -USR1 $$; :
f() { echo x >>/etc/f; }; g() { f; }; trap g USR1; kill -USR1 $$; :
x=y; eval "echo $x >>/etc/f"
f=/etc/f; eval "echo x >>$f"
x=y; sh -c "echo $x >>/etc/f"
eval 'cat <<E >>/etc/f;;x;;E'
v=`echo x >>/etc/f`
v=$(exec echo x >>/etc/f)
( { echo x; exec echo y; } >>/etc/f )
{ step 0 & wait; step 0; } >>/etc/f
{ grep -q y /etc/f || echo x; } >>/etc/f
step 0 >>/etc/f & wait
( cat files/a >>/etc/f ) & wait
step 0 & f() { uname -s >>/etc/f; }; v=$(f); wait
f() { uname -s >>/etc/f; }; f & wait
cat files/b | while read -r l; do uname -s >>/etc/f; done & wait
env sh -c 'echo x >>/etc/f'
bash: echo x > >(cat >>/etc/f); wait $!
bash: v=$(declare -p HOME >>/etc/f)
bash: export -p >>/etc/f
""".strip().splitlines()


def _files(form: str, shell: str = "dash") -> dict[bytes, File]:
    shell, text = ("bash", form[6:]) if form.startswith("bash: ") else (shell, form)
    script = File(content=b"#!/bin/sh\n" + text.replace(";;", "\n").encode() + b"\n", mode=0o755)
    return {**DEFAULTS, b"lib.sh": File(content=b"echo x >>/etc/f\n"), b"post.sh": for_shell(script, shell)}


def _two_full_evaluations(run, form, shell="dash"):
    files = _files(form, shell)
    return run([Order(way=way, files=files, times=2, force=True) for way in ("plain", "apply")])


def _sorted_lines(left, path):
    return sorted(left.tree[path][3].splitlines()) if path in left.tree else []


def _sizes(left):
    return {path: entry[3].count(b"\n") for path, entry in left.tree.items() if path.startswith((b"/etc/", b"/root/"))}


@pytest.mark.parametrize("form", ONCE)
def test_a_text_is_appended_once_however_it_is_written(form, run):
    plain, ours = _two_full_evaluations(run, form)
    if "date" not in form:
        assert deviations(plain[:1], ours[:1]) == []
    assert _sizes(ours[0]) == _sizes(ours[1])
    assert any(phase == "APPEND" for _, _, phase, _, _ in ours[0].steps) or _sizes(plain[0]) == _sizes(plain[1])


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("form", LEFT)
def test_a_text_that_the_shell_leaves_in_its_middle_is_there_at_once_and_once(form, shell, run):
    plain, ours = _two_full_evaluations(run, form, shell)
    assert deviations(plain[:1], ours[:1]) == []
    assert _sizes(ours[0]) == _sizes(ours[1])
    assert any(phase == "APPEND" for _, _, phase, _, _ in ours[0].steps)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("form", BESIDE)
def test_a_text_is_appended_once_beside_the_shell(form, shell, run):
    plain, ours = _two_full_evaluations(run, form, shell)
    assert deviations(plain[:1], ours[:1]) == []
    assert _sizes(ours[0]) == _sizes(ours[1])
    assert any(phase == "APPEND" for _, _, phase, _, _ in ours[0].steps)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("form", AT_ONCE)
def test_texts_that_are_appended_at_the_same_time_are_all_there_once(form, shell, run):
    plain, ours = _two_full_evaluations(run, form, shell)
    assert plain[0].output == ours[0].output
    for path in (b"/etc/f", b"/etc/g", b"/etc/h"):
        expected, first, second = (
            (sorted(left.tree[path][3].split(b"\n")) for left in (plain[0], *ours) if path in left.tree)
            if path in plain[0].tree
            else ([], [], [])
        )
        assert expected == first == second


@pytest.mark.parametrize("form", AGAIN)
def test_what_the_shell_appends_again_is_told_by_lint(form, run, tmp_path):
    plain, ours = _two_full_evaluations(run, form)
    assert deviations(plain[:1], ours[:1]) == []
    assert _sizes(ours[0]) != _sizes(ours[1]), "it is appended once: move it to the other table"
    for path, file in _files(form).items():
        place = tmp_path / os.fsdecode(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content.replace(SHELLS["dash"], b"#!/bin/sh"))
        place.chmod(file.mode)
    assert "append-in-script" in {finding.id for finding in lint(read(tmp_path), asking(tmp_path))}
