"""Programs as sites write them: the first apply does what the plain shell does, and the second repeats nothing.

Compared are the output, the exit status, and the files that the program leaves, in every shell that the verbs are
written for. ``step`` is a program that logs its arguments and fails as its first one says.
"""

import os
import shutil
import subprocess  # noqa: TID251 - the plain shell is the oracle here
import threading
from pathlib import Path

import pytest

from nodeagent import reconcile
from nodeagent.evaluation import Settings
from nodeagent.model.events import StepOutput
from nodeagent.situation import Wishes

BUSYBOX = f"{shutil.which('busybox') or '/bin/busybox'} ash"
SHELLS = ["/bin/dash", "/bin/bash", BUSYBOX]

FUNCTIONS = r"""
RUN() {
  logger -t postscripts "Running $*..."
  "$@"
  code=$?
  logger -t postscripts "$* exited with code $code"
}
COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -a "$1" "$2"
}
"""

STATUS_COPIES = r"""
put() { mkdir -p "$(dirname "$2")" && rsync -a "$1" "$2"; }
get() {
  local to="$2"
  [ -d "$(dirname "$to")" ] || mkdir -p "$(dirname "$to")" || return 3
  rsync -a "$1" "$to" || return 7
}
"""

ONCE = {
    "a subshell that set -e ends in a step": "(set -e; sh -c 'exit 3'; echo no)\ntouch $D/x\nstep 0",
    "a subshell that set -e ends inside RUN": "(set -e; RUN sh -c 'exit 3'; echo no)\ntouch $D/x\nRUN step 0",
    "a subshell that exits inside RUN": "(RUN exit 4)\nstep 0\nRUN step 1",
    "set -e and a list that fails before its end": "set -e\nsh -c 'exit 1' && touch $D/y\necho reached\nstep 0",
    "set -e and a group that fails": "set -e\n{ echo a; false; echo b; } >$D/x\necho no",
    "set -e and a text that fails": "set -e\ncat missing 2>/dev/null >>$D/x\necho no",
    "set -e and a list that fails at its end": "set -e\ntrue && sh -c 'exit 4'\necho no",
    "what a group prints is a file's content": "{ echo '# gen'; uname; date +x; } >$D/motd",
    "what a subshell prints, quoted target": '( echo s; date +y ) >"$D/o p" 2>/dev/null',
    "what a group appends": "{ echo a; echo b; } >>$D/hosts\nfor i in 1 2; do echo $i; done >>$D/hosts",
    "what a group pipes": "{ step 0; echo x; } 2>&1 | tee $D/log\nfor i in 1 2; do step 0 $i; done | cat",
    "what a group sends to a log": "{ step 0 >/dev/null; echo x; } >$D/x.log 2>&1\n( echo e >&2; echo f ) >$D/y 2>&1",
    "a group in a condition": "if { echo a; echo b; } >>$D/f; then step 0; fi",
    "what a loop over a file appends": "while read a b; do echo $b $a; done <files/a >>$D/h",
    "a group that is left in its middle": "f() { { echo a; return 3; } >$D/x; }\nf\n{ echo b; exit 4; } >$D/y",
    "an ambiguous redirection of RUN": "RUN step 0 &>/dev/null\nwait\nfor i in 1 2 3; do RUN step 0 $i; done",
    "an ambiguous redirection of COPY": "COPY files/a $D/a &>/dev/null\nwait\nfor i in 1 2; do COPY files/b $D/$i;done",
    "rsync is a function": 'rsync() { echo fake "$@"; }\nCOPY files/a $D/a\nrsync -a files/b $D/b',
    "logger is a function": 'logger() { echo "L $*"; }\nRUN step 3',
    "a negated COPY": "if ! COPY files/a $D/a; then echo bad; fi\n! COPY files/b $D/b",
    "COPY functions that say what they return": STATUS_COPIES
    + "put files/a $D/e/a\nget files/b $D/e/b\nset -e\n"
    + "put files/none $D/c 2>/dev/null || echo $?\nget files/none $D/d 2>/dev/null || echo $?\n"
    ": >$D/f\nput files/a $D/f/a || echo $?\n"
    + "get files/a $D/f/b || echo $?\nhostname | wc -l\nget files/none $D/g 2>/dev/null\necho no",
    "a function that is not defined": 'if false; then PUT() { rsync -a "$1" "$2"; }; fi\nPUT files/a $D/a 2>/dev/null',
    "a function that is defined too late": 'PUT files/a $D/a 2>/dev/null\nPUT() { rsync -a "$1" "$2"; }',
    "an empty prefix": "SUDO=\n$SUDO step 0\n$SUDO cd files\nbasename $PWD\n$SUDO export X=1\necho $X",
    "a command in a variable": "CMD='step 0'\n$CMD 7\nCD=cd\n$CD /usr\nbasename $PWD",
    "a sourced function in a list": "echo 'setup() { V=set; }' >$D/lib\n. $D/lib\nsetup || true\necho V=$V",
    "steps of functions that RUN calls": "inner() { RUN step $1; echo body; }\nRUN inner 1\nRUN inner 0",
    "RUN in the background": "RUN step 0 &\nwait\nRUN step 1",
    "jobs": "case a in a) step 0 & ;; esac; wait\n{ step 1 & }; wait\nif true; then step 2 & fi\nwait\nstep 3 & wait",
    "RUN in a pipeline": "RUN step 0 | tee $D/log2\nRUN step 3",
    "a question before RUN": "cat /etc/passwd | grep -q root && RUN step 0\nhostname | grep -q ' ' && RUN step 5",
    "a program or the end": "die() { echo dying; exit 7; }\nstep 0 || exit 1\nRUN step 1 || { exit 2; }\nstep 3 || die",
    "a RUN that may fail": "RUN step 3 || true\nRUN step 4 || echo failed\nset -e\nRUN step 0 a || :\nstep 0 b",
    "where RUN's errors are": "RUN missing\nRUN noexec",
    "COPY of more than two": "mkdir -p $D/g\nCOPY files/* $D/g",
    "COPY after cd": "(cd files && COPY a $D/sub/a)\nCOPY files/b $D/sub/b",
    "COPY with spaces": "COPY 'files/sp ace' \"$D/x y/z w\"\nCOPY files/sp\\ ace $D/'q'",
    "COPY and two equal texts": "COPY files/a $D/f\ncat files/b >>$D/f\ncat files/b >>$D/f",
    "WRITE and two equal texts": "echo one >$D/f\necho two >>$D/f\n>$D/g\n: >$D/h\necho a >>$D/h\necho a >>$D/h",
    "COPY with variables and RUN in a loop": (
        "for x in a b c; do case $x in a|b) step 0 $x ;; *) echo $x >>$D/c; continue ;; esac; COPY files/$x $D/$x; done"
    ),
    "set -u, set -f, IFS": 'set -uf\nIFS=/\nRUN step 0\nCOPY files/a "$D/a"\necho \'*\' >"$D/x"',
    "here-docs for programs": "sh <<E\necho $D\nE\ncat <<E | tr a-z A-Z\nb\nE\ncat <<'E' >$D/q\n$x\nE\nstep 0 <<E\n\nE",
    "redirections first": ">$D/a echo x\n>>$D/a echo y\n2>/dev/null >$D/b cat files/a\n</dev/null step 0",
    "its own text": "echo '# more' >>post.sh\nstep 0\nrm -f post.sh\nstep 1",
}

BASH = {
    "an ERR trap": "trap 'echo err $?' ERR\nsh -c 'exit 3'\nfalse\nRUN step 3\nstep 4 && step 5\nstep 6 || step 7",
    "an ERR trap and set -eE": "set -eE\ntrap 'echo err $?' ERR\nstep 0\nstep 3\necho no",
    "arrays": 'arr=(a "c d")\nfor x in "${arr[@]}"; do step 0 "$x"; done\n[[ -f files/a ]] && COPY files/a $D/a',
}

# The shell runs these every time, since what they decide may have changed.
FIRST = {
    "$? in a here-doc": "sh -c 'exit 3'\ncat <<E >$D/x\nstatus $?\nE\ncat $D/x",
    "set -e and a negated pipeline": "set -e\n! step 0 | cat\necho reached",
    "a function whose output is kept": 'gen() { echo a; step 0; }\ngen >$D/x\nx=$(gen)\necho "$x"',
    "the status of a COPY that fails": "COPY files/no $D/a 2>/dev/null\necho $?\nCOPY no $D/b 2>/dev/null || exit 9",
    "the status of a text that fails": "{ echo x >>$D/no/f; } 2>/dev/null || echo no\n(echo x >$D/no/f) 2>&- || exit 9",
    "nested RUN": "RUN RUN step 2\necho $code",
    "the shell's end": "touch $D/x\nkill -9 $$\ntouch $D/y",
    "binary output": "printf 'a\\0b\\377\\n'\nprintf 'no newline'",
}


class Site:
    def __init__(self, top: Path, by: str, body: str) -> None:
        self.root, self.repository, self._top = top / "root", top / "repo", top
        for directory in (self.root, self.repository / "files", self.repository / "postscripts"):
            directory.mkdir(parents=True)
        for name in ("a", "b", "c", "sp ace"):
            (self.repository / "files" / name).write_text("content " + name * ord(name[0]) + "\n")  # of different sizes
        self._program("postscripts/step", "#!/bin/sh\necho step $* >>$D/steps\necho out $*\nexit $1\n", 0o755)
        self._program("postscripts/noexec", "echo noexec\n", 0o644)
        self._program("postscripts/logger", "#!/bin/sh\n", 0o755)
        self._program("post.sh", f"#!{by}\n{FUNCTIONS}{body}\n", 0o755)
        path = f"{self.repository}/postscripts:{os.environ['PATH']}"
        self._environment = {"D": str(self.root), "PATH": path, "LC_ALL": "C.UTF-8", "HOME": "/root"}

    def _program(self, name: str, text: str, mode: int) -> None:
        (self.repository / name).write_text(text)
        (self.repository / name).chmod(mode)

    def plain(self):
        done = subprocess.run(
            [str(self.repository / "post.sh")],
            cwd=self.repository,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        lines = done.stdout.decode(errors="backslashreplace").removesuffix("\n").split("\n")
        return ([] if lines == [""] else lines), status, self.files()

    def apply(self):
        lines: list[str] = []

        class Recorder:
            def report(self, event):
                if isinstance(event, StepOutput):
                    lines.append(event.text)

        settings = Settings(
            args=(),
            environment=self._environment,
            step_timeout=20,
            evaluation_timeout=25,
            state=self._top / "state",
            runtime=self._top / "run",
        )
        wishes = Wishes(requested=True)
        done = reconcile.apply_directory(self.repository, settings, wishes, threading.Event(), Recorder())
        return lines, done.exit_status, self.files()

    def files(self):
        found = {}
        for top in (self.root, self.repository):
            for path in sorted(top.rglob("*")):
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (oct(path.lstat().st_mode), content)
        return found


def first_applies(tmp_path, by, body):
    site = Site(tmp_path / "site", by, body)
    expected = site.plain()
    shutil.rmtree(tmp_path / "site")
    site = Site(tmp_path / "site", by, body)
    assert site.apply() == expected
    return site


@pytest.mark.parametrize("by", SHELLS)
@pytest.mark.parametrize("name", ONCE)
def test_a_program_goes_the_way_of_the_plain_shell_and_only_once(name, by, tmp_path):
    site = first_applies(tmp_path, by, ONCE[name])
    before = site.files()
    if "post.sh" in ONCE[name]:
        return  # there is nothing to be applied again
    site.apply()
    assert site.files() == before


@pytest.mark.parametrize("name", BASH)
def test_a_bash_program_goes_the_way_of_the_plain_shell_and_only_once(name, tmp_path):
    site = first_applies(tmp_path, "/bin/bash", BASH[name])
    before = site.files()
    site.apply()
    assert site.files() == before


@pytest.mark.parametrize("by", SHELLS)
@pytest.mark.parametrize("name", FIRST)
def test_a_program_goes_the_way_of_the_plain_shell(name, by, tmp_path):
    first_applies(tmp_path, by, FIRST[name])


@pytest.mark.parametrize(
    "text",
    [
        b"#!/bin/sh\r\necho hi >$D/x\r\ntrue\r\n",
        b"#!/bin/sh\necho a >>$D/x\nstep 0",
        b"",
        b"\n#!/bin/sh\necho a >>$D/x\n",
        b"\xef\xbb\xbf#!/bin/sh\necho a >>$D/x\n",
        b"#!/bin/sh\ncat <<E >>$D/x\ntext\n",
        b"#!/bin/sh",
    ],
    ids=["CR LF", "no last newline", "empty", "blank first line", "byte order mark", "open here-doc", "one line"],
)
def test_a_text_of_an_unusual_form_does_what_sh_does(text, tmp_path):
    results = []
    for way in ("plain", "apply"):
        site = Site(tmp_path / "site", "/bin/sh", "")
        (site.repository / "post.sh").write_bytes(text)
        if way == "plain":
            environment = site._environment
            done = subprocess.run(
                ["/bin/sh", str(site.repository / "post.sh")],
                cwd=site.repository,
                env=environment,
                capture_output=True,
                check=False,
            )
            results.append((done.returncode, site.files()))
        else:
            results.append(site.apply()[1:])
        shutil.rmtree(tmp_path / "site")
    assert results[0] == results[1]
