import os
import resource
import select
import signal
import subprocess  # noqa: TID251 - tests drive the real programs
import sys
from pathlib import Path

import pytest

from nodeagent.errors import PasswordCommandFailed, PasswordUnavailable
from nodeagent.source.secrets import command


def ask(*argv, time_limit=20.0):
    with command.ask(argv, time_limit=time_limit) as found:
        return bytes(found.view)


def shell(text, **options):
    return ask("sh", "-c", text, **options)


def test_what_the_program_prints_is_the_answer():
    assert ask("printf", "%s\\n", "a secret", "and more") == b"a secret\nand more\n"
    assert shell("printf a; printf b; exec >&-; true") == b"ab"
    assert ask("true") == b""


def test_the_arguments_are_no_shell_s():
    assert ask("printf", "%s", "$HOME `id` ; *") == b"$HOME `id` ; *"


def test_the_environment_is_bare(monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/nodeagent.service")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")

    found = dict(line.split("=", 1) for line in ask("env").decode().splitlines())

    assert found.keys() == {"PATH", "HOME", "LC_ALL"}
    assert found["HOME"] == "/root"


def test_it_stands_in_the_root_with_nothing_to_read_and_the_default_signals():
    assert shell("pwd; umask; cat; readlink /proc/self/fd/0") == b"/\n0077\n/dev/null\n"
    held = next(line for line in ask("cat", "/proc/self/status").decode().splitlines() if line.startswith("SigIgn"))
    assert int(held.split()[1], 16) & (1 << signal.SIGPIPE - 1) == 0


def test_it_has_no_descriptor_of_ours_and_makes_no_core(tmp_path):
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    assert ask("ls", "/proc/self/fd").split() == [b"0", b"1", b"2", b"3"]  # 3: the directory that ls reads
    os.close(held)
    assert b"Max core file size        1                    1" in ask("cat", "/proc/self/limits")
    assert resource.getrlimit(resource.RLIMIT_CORE) != (1, 1), "only the program's own"


def test_a_program_that_is_not_there_or_may_not_be_run_is_told(tmp_path):
    with pytest.raises(PasswordUnavailable, match="no-such-program: there is no such program in /usr/local/sbin"):
        ask("no-such-program")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(PasswordUnavailable, match=r"broken: exited with code 126: .*/broken: No such file"):
        ask(str(broken))
    with pytest.raises(PasswordUnavailable, match=r"env: exited with code 127: .*no-such-program"):
        ask("env", "no-such-program")


def test_a_failure_tells_the_last_line_of_stderr_and_nothing_of_stdout():
    with pytest.raises(PasswordCommandFailed) as raised:
        shell("echo SECRET; echo Error; echo; printf 'the server is \\033[1msealed\\n\\n' >&2; exit 2")
    told = str(raised.value)
    assert told.startswith("password.command: sh: exited with code 2: the server is \\x1b[1msealed: ")
    assert "SECRET" not in told
    assert "again by itself" in told


def test_a_program_that_is_killed_is_told():
    with pytest.raises(PasswordCommandFailed, match="killed by signal 11"):
        shell("kill -SEGV $$")


def test_a_program_that_takes_too_long_is_killed_with_what_it_started(tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(PasswordCommandFailed, match=r"did not end within 1 s \(password\.timeout\)"):
        shell(f"echo SECRET; sleep 1000 & echo $! >{note}; wait", time_limit=1.0)
    assert ended(int(note.read_text()))


def test_what_it_leaves_running_does_not_hold_it_up_and_is_ended(tmp_path):
    note = tmp_path / "pid"
    assert shell(f"sleep 1000 & echo $! >{note}; echo secret") == b"secret\n"
    assert ended(int(note.read_text()))


def test_a_program_that_never_stops_printing_is_ended():
    with pytest.raises(PasswordUnavailable, match="yes: printed 65536 bytes or more"):
        ask("yes")


def test_a_flood_of_errors_is_no_harm():
    assert shell("yes 2>/dev/null | head -c 1000000 >&2; echo secret") == b"secret\n"


def test_no_descriptor_and_no_process_stays():
    children = Path("/proc/thread-self/children")
    before = os.listdir("/proc/self/fd"), children.read_text()
    ask("true")
    for failing in (["false"], ["yes"]):
        with pytest.raises((PasswordCommandFailed, PasswordUnavailable)):
            ask(*failing)
    assert (os.listdir("/proc/self/fd"), children.read_text()) == before


def test_it_dies_with_the_process_that_asks(tmp_path):
    note = tmp_path / "pid"
    argv = ["sh", "-c", f"echo $$ >{note}; exec sleep 1000"]
    code = f"from nodeagent.source.secrets import command; command.ask({argv}, time_limit=100)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[4]) as asking:
        while not (note.exists() and note.read_text().strip()):
            assert asking.poll() is None
        asking.kill()
    assert ended(int(note.read_text()))


def ended(pid):
    """Whether the process has ended, or does so soon: it is no child of ours that could be waited for."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)
