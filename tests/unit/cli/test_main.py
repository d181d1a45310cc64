import os
import subprocess  # noqa: TID251 - a process of its own, with streams of its own
import sys
from pathlib import Path

import pytest

from nodeagent import __version__
from nodeagent.cli import main, status
from nodeagent.errors import NotNow, WrongPassword
from nodeagent.workers import child


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code of a verb that raises."""

    def verb(_args: object) -> int:
        raise error

    monkeypatch.setattr(status, "_status", verb)
    return main.call(["status"])


def test_an_expected_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(monkeypatch, WrongPassword("the key does not open")) == 1
    assert capsys.readouterr() == ("", "nodeagent: the key does not open\n")


def test_not_now_is_exit_code_75(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raising(monkeypatch, NotNow("another one is at work")) == 75


def test_ctrl_c_is_exit_code_130_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        raising(monkeypatch, KeyError("bug"))


def test_what_does_not_fit_into_standard_output_is_said_however_long_it_is(tmp_path: Path) -> None:
    (tmp_path / "post.sh").write_text("#!/bin/sh\n" + "rm -rf /scratch/*\n" * 1000)
    (tmp_path / "post.sh").chmod(0o755)
    command = f"{sys.executable} -m nodeagent lint {tmp_path}"
    assert shell(f"{command} >/dev/full") == (
        1,
        "nodeagent: standard output: No space left on device: send it to where it can be written\n",
    )


@pytest.mark.parametrize(("closed", "code", "said"), [(">&-", 1, ""), ("<&- 2>&-", 1, ""), ("<&- >&-", 1, "")])
def test_a_standard_stream_that_is_closed_is_no_error(tmp_path: Path, closed: str, code: int, said: str) -> None:
    (tmp_path / "post.sh").write_text("#!/bin/sh\nrm -rf /scratch/*\n")
    (tmp_path / "post.sh").chmod(0o755)
    assert shell(f"{sys.executable} -m nodeagent lint {tmp_path} {closed}") == (code, said)


def shell(command: str) -> tuple[int, str]:
    """The exit code, and what went to standard error."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    return done.returncode, done.stderr


def test_a_reader_that_goes_away_early_is_no_error_to_talk_about() -> None:
    reader, writer = os.pipe()
    errors, errors_end = os.pipe()
    os.close(reader)

    def verb() -> None:
        os.dup2(writer, 1)
        os.dup2(errors_end, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        os._exit(main.call(["--help"]))

    process = child.fork(verb, keep=[writer, errors_end], session=True)
    os.close(writer)
    os.close(errors_end)
    with open(errors, "rb") as stream:
        assert stream.read() == b""
    assert process.ending() == "exited with code 1"
    process.reap()


_PROGRAM = """
import sys
from nodeagent.cli import main, status
from nodeagent.errors import NotNow

def verb(args):
    if sys.argv[1]:
        raise NotNow(sys.argv[1])
    print("result")
    return 2

status._status = verb
main.main(["status"])
"""


@pytest.mark.parametrize(
    ("error", "full", "code", "heard"),
    [
        ("", "stdout", 1, b"nodeagent: standard output: No space left on device: send it to where it can be written\n"),
        ("", "stderr", 2, b"result\n"),
        ("another one is at work", "stderr", 75, b""),
        ("another one is at work", "stdout", 75, b"nodeagent: another one is at work\n"),
    ],
)
def test_an_output_that_takes_nothing_is_said_where_it_can_be_and_never_changes_another_code(
    error: str, full: str, code: int, heard: bytes
) -> None:
    receiver, sender = os.pipe()

    def run() -> None:
        refusing, taking = (1, 2) if full == "stdout" else (2, 1)
        os.dup2(os.open("/dev/full", os.O_WRONLY), refusing)
        os.dup2(sender, taking)
        os.execv(sys.executable, [sys.executable, "-E", "-c", _PROGRAM, error])

    process = child.fork(run, keep=[sender], session=True)
    os.close(sender)
    with open(receiver, "rb") as stream:
        assert stream.read() == heard
    assert process.ending() == f"exited with code {code}"
    process.reap()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.call(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"nodeagent {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["no-such-verb"], ["status", "--no-such-option"]])
def test_a_wrong_call_is_exit_code_2_and_names_the_verbs(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.call(argv)
    assert caught.value.code == 2
    assert "usage: nodeagent" in capsys.readouterr().err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.call(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for verb in main._MODULES:
        assert any(line.split()[:1] == [verb] for line in lines)


def test_main_ends_the_process_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_status", lambda _args: 3)
    with pytest.raises(SystemExit) as caught:
        main.main(["status"])
    assert caught.value.code == 3


def test_status_loads_no_library_that_it_does_not_need() -> None:
    receiver, sender = os.pipe()

    def look() -> None:
        os.dup2(sender, 1)
        os.execv(
            sys.executable,
            [
                sys.executable,
                "-c",
                "import sys; from nodeagent.cli import main\n"
                "try: main.call(['status', '--help'])\n"
                "except SystemExit: pass\n"
                "print('LOADED', *{'pygit2', 'cryptography', 'tenacity'} & sys.modules.keys())",
            ],
        )

    process = child.fork(look, keep=[sender], session=True)
    os.close(sender)
    with open(receiver) as stream:
        said = stream.read()
    process.reap()
    assert said.endswith("\nLOADED\n")
