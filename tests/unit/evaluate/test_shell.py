"""An instrumented program goes the way the plain one goes, in every shell that the verbs are written for.

The handler here lets every step run and leaves every text and copy to the shell: what is tested is that the verbs
themselves change nothing. What the agent does instead is tested with the agent.
"""

import os
import shutil
import signal
import subprocess  # noqa: TID251 - the plain shell is the oracle here
import threading
import time
from pathlib import Path

import pytest

from nodeagent.apply import process
from nodeagent.evaluate import shell
from nodeagent.evaluate.grammar import parse
from nodeagent.evaluate.instrument import instrument
from nodeagent.evaluate.interpreter import interpreter
from nodeagent.evaluate.pipes import Pipes
from nodeagent.evaluate.sourcing import Note, Sourcing
from nodeagent.evaluate.stand_in import with_prelude

SHELLS = ["/bin/dash", "/bin/bash", "/bin/busybox ash"]

PREFIX = r"""
RUN() {
  logger -t t "Running $*..."
  "$@"
  code=$?
  if [ $code -eq 1 ]; then logger -t t "one"; fi
  logger -t t "$* exited with code $code"
}
FAIL() { logger -t t x; "$@"; rc=$?; return $rc; }
COPY() { mkdir -p "$(dirname "$2")"; cp "$1" "$2"; }
logger() { :; }
"""

PROGRAMS = {
    "status of a step": "ls /nonexistent 2>/dev/null\necho $?",
    "status of the last statement": "sh -c 'exit 7'",
    "set -e ends at a failing step": "set -e\nsh -c 'exit 3'\necho not reached",
    "set -e and a failing condition": "set -e\nif sh -c 'exit 3'; then :; fi\necho reached",
    "set -e and a list": "set -e\nfalse || sh -c 'exit 0'\nsh -c 'exit 1' || true\necho reached",
    "set -e and the end of a list": "set -e\ntrue && sh -c 'exit 4'\necho not reached",
    "set -u": "set -u\nprintf '%s\\n' a\necho ${x-unset}",
    "set -f and IFS": "IFS=:\nx=a:b\nset -f\nprintf '%s\\n' $x '*'\ndate +%%",
    "functions and their status": "f() { sh -c 'exit 5'; }\nf\necho $?",
    "return in the middle": "f() { date +x; return 3; date +y; }\nf; echo $?",
    "RUN hides a failure": "RUN sh -c 'exit 9'\necho $? $code",
    "FAIL passes it on": "FAIL sh -c 'exit 9'\necho $? $rc",
    "RUN in a condition": "if FAIL sh -c 'exit 2'; then echo yes; else echo no; fi",
    "here-docs": "x=1\ncat <<E >out\n$x $(echo sub)\nE\ncat <<'E' >>out\n$x\nE\ncat out",
    "indented here-doc": "cat <<-E >out\n\tx\n\tE\ncat out",
    "text to a variable target": "d=$PWD/o\necho 'a  b' >>$d\necho c >>\"$d\"\ncat $d",
    "text that fails": "cat /nonexistent >>out 2>/dev/null\necho $?\ncat out",
    "text to a directory": "(echo a >/) 2>/dev/null; echo $?",
    "tee": "echo a | tee out\necho b | tee -a out >/dev/null\ncat out",
    "subshell and cd": "(cd / && touch /dev/null; pwd)\nbasename $PWD >/dev/null; pwd >/dev/null; echo $?",
    "positional parameters": "set -- 'a b' c\nprintf '%s\\n' \"$@\"\nfor i; do date \"+$i\"; done\necho $#",
    "loops": "for i in 1 2 3; do date +$i; done\ni=0\nwhile [ $i -lt 3 ]; do i=$((i+1)); date +$i; done",
    "read from a file": "printf 'a\\nb\\n' >in\nwhile read l; do date +$l; done <in",
    "case": "case abc in a*) date +a;; *) date +b;; esac",
    "background": "date +1 &\nwait\necho done",
    "trap EXIT": "trap 'echo bye' EXIT\ndate +1\nexit 3",
    "trap of a signal while waiting": "trap 'echo got' USR1\nkill -USR1 $$\ndate +1",
    "umask": "umask 077\ntouch a\nls -l a | cut -c1-10",
    "exec redirection": "exec >out 2>&1\ndate +1\nexec >/dev/null\n",
    "descriptors of its own": "exec 3>out\necho x >&3\ndate +%% >&3\nexec 3>&-\ncat out",
    "no descriptor leaks": "ls /proc/self/fd | wc -l",
    "LINENO and $0": 'echo $LINENO\ndate +1\nbasename "$0"',
    "its own text": 'wc -l <"$0"\ntr -cd _ <"$0" | wc -c',
    "re-execution": '[ "$1" = again ] || exec "$0" again\necho second',
    "&& and || with programs": "test -e / && date +1 || date +2\n[ -e /nonexistent ] && date +3\necho $?",
    "quoting": "printf '%s|' 'a\"b' \"c'd\" e\\ f '$x' '*' ''\necho",
    "command substitution": 'x=$(date +1; date +2)\necho "$x"',
    "a step without output": "true\ndate +1 >/dev/null\n:",
    "unset function": "f() { date +1; }\nf\nunset -f f\nf 2>/dev/null\necho $?",
    "noclobber": "set -C\necho a >out\n(echo b >out) 2>/dev/null\necho $?\ncat out",
}


class PassThrough:
    def __init__(self):
        self.lines = []
        self.asked = []

    def request(self, words, stand):
        self.asked.append((words, stand))
        return {"go": "run", "to": "", "cp": "shell", "tx": words[-1], "st": "0 "}.get(words[0], "")

    def output(self, line):
        self.lines.append(line)

    def expired(self, now):
        return False

    def waits(self):
        return False

    def started(self):
        return 0


def write(tmp_path, text, by):
    by = by.replace("/bin/busybox", shutil.which("busybox") or "/bin/busybox")
    script = tmp_path / "post.sh"
    script.write_text(f"#!{by}\n{PREFIX}{text}\n")
    script.chmod(0o755)
    return script


def plain(script):
    done = subprocess.run(
        [str(script), "arg"],
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode().splitlines(), process.status_of(done.returncode)


def sourcing(tmp_path, script, text):
    note = Note(tmp_path)
    return Sourcing(directory=script.parent, entry=script.name, text=text, sourced={}, note=note)


def driven(script, tmp_path, handler=None, stop=None, limit=30.0, *, verbs=b"", turns=False):
    """``verbs``: further lines, which may use them by name."""
    text = script.read_bytes()
    by = interpreter(text)
    program = instrument(parse(text), "post.sh", lambda flags: True)
    assert not program.whole
    handler = handler or PassThrough()
    read, write_end = os.pipe()
    try:
        with (
            Pipes.open(tmp_path / "run") as pipes,
            sourcing(tmp_path, script, with_prelude(program.text + verbs, pipes.prelude(turns=turns))) as files,
        ):
            running = process.Process.start(
                [*by.argv, str(script), "arg"], cwd=str(script.parent), environment=os.environ, output=write_end
            )
            os.close(write_end)
            driver = shell.Driver(
                running,
                handler=handler,
                output=read,
                pipes=pipes,
                files=files.request,
                stop=stop or threading.Event(),
                deadline=time.monotonic() + limit,
                kill_step=lambda number, since: process.end_descendants(number, since=since, spare=running.pid),
            )
            try:
                ended = driver.run()
            finally:
                running.end()
    finally:
        os.close(read)
    return handler, ended


@pytest.mark.parametrize("by", SHELLS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_instrumented_program_goes_the_way_of_the_plain_one(name, by, tmp_path):
    for copy in ("plain", "ours"):
        (tmp_path / copy).mkdir()
    expected = plain(write(tmp_path / "plain", PROGRAMS[name], by))
    script = write(tmp_path / "ours", PROGRAMS[name], by)
    handler, ended = driven(script, tmp_path)
    expected_lines = [line.replace("/plain", "/ours") for line in expected[0]]
    assert (handler.lines, ended.exit_status) == (expected_lines, expected[1])


@pytest.mark.parametrize("by", SHELLS)
def test_a_request_says_where_and_how_the_shell_stands(by, tmp_path):
    script = write(tmp_path, "cd /usr\numask 027\n(cd /etc; date +1)\nnosuch 2>/dev/null\n", by)
    handler, _ = driven(script, tmp_path)
    gates = [(words, stand) for words, stand in handler.asked if words[0] == "go"]
    assert [(s.cwd, s.umask) for _, s in gates] == [("/etc", 0o027), ("/usr", 0o027)]
    assert gates[0][1].resolved.endswith("/date")
    assert gates[1][1].resolved == ""


@pytest.mark.parametrize("by", SHELLS)
def test_arguments_of_any_bytes_arrive_as_they_are(by, tmp_path):
    script = write(tmp_path, "COPY 'a\nb' \"$(printf '\\377 x')\" 2>/dev/null || :\n", by)
    text = script.read_text().replace('cp "$1" "$2"', 'rsync -a "$1" "$2"')
    script.write_text(text)
    handler, _ = driven(script, tmp_path)
    (copy,) = [words for words, _ in handler.asked if words[0] == "cp"]
    assert copy[2:] == ["COPY", "a\nb", os.fsdecode(b"\xff x")]


class Interrupting(PassThrough):
    """Sends a signal before it answers a step's request; ``waits``: until its trap has run."""

    def __init__(self, directory, *, waits):
        super().__init__()
        self._directory = directory
        self._waits = waits

    def request(self, words, stand):
        if words[0] == "go":
            shell_pid = (self._directory / "pid").read_text().strip()
            self._until(lambda: Path("/proc", shell_pid, "stat").read_text().rpartition(") ")[2][0] == "S")  # it reads
            os.kill(int(shell_pid), signal.SIGUSR1)
            self._until(lambda: not self._waits or (self._directory / "trapped").exists())
            (self._directory / "trapped").unlink(missing_ok=True)
        return super().request(words, stand)

    def _until(self, holds):
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline, "it does not happen"
            threading.Event().wait(0.005)


@pytest.mark.parametrize("by", SHELLS)
def test_a_signal_that_is_trapped_while_the_shell_waits_for_an_answer_changes_nothing(by, tmp_path):
    program = "trap ': >trapped' USR1\necho $$ >pid\ndate +one\ndate +two\n"
    handler = Interrupting(tmp_path, waits=by != "/bin/bash")  # which goes on reading first
    handler, ended = driven(write(tmp_path, program, by), tmp_path, handler)
    assert (handler.lines, ended.exit_status) == (["one", "two"], 0)
    assert [words[2] for words, _ in handler.asked if words[0] == "ok"] == ["0", "0"]


def test_the_original_stands_at_its_path_from_the_first_request_on(tmp_path):
    script = write(tmp_path, 'cat "$0" >seen\n', "/bin/dash")
    text = script.read_bytes()
    inode = script.stat().st_ino
    driven(script, tmp_path)
    assert (tmp_path / "seen").read_bytes() == text
    assert (script.read_bytes(), script.stat().st_ino) == (text, inode)
    assert {p.name for p in tmp_path.iterdir()} == {"post.sh", "run", "seen"}


def test_a_stop_ends_the_shell_and_what_it_waits_for(tmp_path):
    script = write(tmp_path, "sleep 60\necho not reached", "/bin/dash")
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    began = time.monotonic()
    handler, ended = driven(script, tmp_path, stop=stop)
    timer.join()
    assert ended.end is shell.End.STOPPED
    assert handler.lines == []
    assert time.monotonic() - began < 10


def test_a_loop_without_end_is_ended_at_the_evaluation_s_limit(tmp_path):
    script = write(tmp_path, "while :; do :; done", "/bin/dash")
    _, ended = driven(script, tmp_path, limit=0.3)
    assert ended.end is shell.End.EXPIRED
    assert ended.exit_status == 128 + 15


def test_a_background_process_that_keeps_the_output_open_does_not_hold_the_end(tmp_path):
    script = write(tmp_path, "sh -c 'sleep 30' &\necho $! >pid\n", "/bin/dash")
    began = time.monotonic()
    _, ended = driven(script, tmp_path)
    os.kill(int(Path(tmp_path, "pid").read_text()), 9)
    assert ended.exit_status == 0
    assert time.monotonic() - began < 10


def test_output_without_a_newline_is_not_lost(tmp_path):
    script = write(tmp_path, "printf 'no newline'\n", "/bin/dash")
    handler, _ = driven(script, tmp_path)
    assert handler.lines == ["no newline"]


@pytest.mark.parametrize("by", SHELLS)
def test_a_job_that_ends_its_text_behind_the_shell_is_answered(by, tmp_path):
    class InAText(PassThrough):
        def waits(self):
            return not any(words[0] == "sx" for words, _ in self.asked)

    verbs = b"( while kill -0 $$ 2>/dev/null; do :; done; __na_e='1 '; __na_sx 0; echo $? >answered ) &\n"
    handler, ended = driven(write(tmp_path, ":\n", by), tmp_path, InAText(), verbs=verbs)
    assert ended.exit_status == 0
    assert [words for words, _ in handler.asked if words[0] == "sx"] == [["sx", "0", "1", "0"]]


@pytest.mark.parametrize("by", SHELLS)
def test_whoever_is_killed_when_it_is_his_turn_holds_up_nobody(by, tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "_TURN", 0.3)
    verbs = b"""( IFS= read -r x <"$__na_l"; printf '9\\0half a request' >"$__na_q" ) & wait
__na_call go 7
echo "$__na_r"
"""
    handler, ended = driven(write(tmp_path, ":\n", by), tmp_path, verbs=verbs, turns=True)
    assert (handler.lines, ended.exit_status) == (["run"], 0)
    assert [words for words, _ in handler.asked if words[0] == "go"] == [["go", "7"]]


@pytest.mark.parametrize("by", SHELLS)
def test_a_text_that_begins_when_the_agent_is_gone_is_the_shell_s(by, tmp_path):
    verbs = b"""__na_q=/none/q __na_t=out
__na_st 3; echo a >>"$__na_o"; __na_sx 3 && __na_no; echo $?
"""
    handler, ended = driven(write(tmp_path, ":\n", by), tmp_path, verbs=verbs)
    assert (handler.lines, ended.exit_status) == (["0"], 0)
    assert (tmp_path / "out").read_text() == "a\n"
