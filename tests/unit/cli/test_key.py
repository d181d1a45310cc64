import argparse
import contextlib
import os
import pty
import subprocess  # noqa: TID251 - tests drive the real programs
import sys
from pathlib import Path

import pytest

from nodeagent.cli import key as module
from nodeagent.errors import KeyFileInvalid, NodeagentError, PasswordUnavailable, WrongPassword
from nodeagent.source.secrets import container, deploy_key

PAYLOADS = [b"", b"text\n", b"no newline", bytes(range(256)) * 33, b"\r\n\0\xff"]
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
# KEY, encrypted with the password "secret". "wrong 26" is the first of its kind whose padding passes: it yields noise.
ENCRYPTED = b"U2FsdGVkX19zYWx0c2FsdEh34rN0pByHlmpkcojZ1pFo4IcG4fA4u1B8lpTqLb1u\njHYOLyFaHQrmf+G2BBIBGQ==\n"


def call(*words):
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["key", *map(str, words)])
    return arguments.func(arguments)


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "password"
    file.write_bytes("pässwörd\nsecond line\n".encode())
    return file


@pytest.fixture
def stdin(monkeypatch, tmp_path):
    """Make the bytes standard input."""

    def give(data):
        (tmp_path / "stdin").write_bytes(data)
        monkeypatch.setattr(sys, "stdin", (tmp_path / "stdin").open())

    yield give
    sys.stdin.close()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_openssl_decrypts_what_key_encrypt_writes(tmp_path, password, payload, capfdbinary):
    (tmp_path / "plain").write_bytes(payload)

    assert call("encrypt", tmp_path / "plain", "--password-file", password) == 0

    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-a", "-pbkdf2", "-pass", f"file:{password}"]
    written = capfdbinary.readouterr().out
    assert subprocess.run(command, input=written, check=True, capture_output=True).stdout == payload


def test_rounds_and_digest_are_those_of_the_options(tmp_path, password, capfdbinary):
    options = ["--iterations", "2000", "--digest", "sha512"]
    (tmp_path / "plain").write_bytes(KEY)
    assert call("encrypt", tmp_path / "plain", "--password-file", password, *options) == 0
    written = capfdbinary.readouterr().out

    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-a", "-pbkdf2", "-iter", "2000", "-md", "sha512"]
    command += ["-pass", f"file:{password}"]
    assert subprocess.run(command, input=written, check=True, capture_output=True).stdout == KEY
    (tmp_path / "encrypted").write_bytes(written)
    assert call("decrypt", tmp_path / "encrypted", "--password-file", password, *options) == 0
    assert capfdbinary.readouterr().out == KEY
    with pytest.raises(WrongPassword, match="10000 rounds of sha256"):
        call("decrypt", tmp_path / "encrypted", "--password-file", password)


@pytest.mark.parametrize("option", [["--iterations", "0"], ["--iterations", "many"], ["--digest", "md5"]])
def test_rounds_or_a_digest_that_cannot_be_are_refused(tmp_path, password, option, capsys):
    with pytest.raises(SystemExit):
        call("encrypt", password, "--password-file", password, *option)
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("payload", [KEY, b"-----BEGIN ENCRYPTED PRIVATE KEY-----\r\n\0\xff"])
def test_key_decrypt_writes_the_private_key_that_openssl_encrypted(tmp_path, password, payload, capfdbinary):
    command = ["openssl", "enc", "-aes-256-cbc", "-a", "-salt", "-pbkdf2", "-pass", f"file:{password}"]
    encrypted = subprocess.run(command, input=payload, check=True, capture_output=True).stdout
    (tmp_path / "encrypted").write_bytes(encrypted)

    assert call("decrypt", tmp_path / "encrypted", "--password-file", password) == 0

    assert capfdbinary.readouterr().out == payload


def test_a_dash_reads_the_password_from_standard_input(tmp_path, stdin, capfdbinary):
    (tmp_path / "encrypted").write_bytes(ENCRYPTED)
    stdin(b"secret\nwhat follows is not read")

    assert call("decrypt", tmp_path / "encrypted", "--password-file", "-") == 0
    assert capfdbinary.readouterr().out == KEY


def at_a_terminal(words, *typed):
    """Run the verb at a terminal, answer each question; its exit status and all that the terminal showed."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nodeagent.cli import main; main.main()"
    root = os.path.dirname(os.path.dirname(os.path.dirname(module.__file__)))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, root, *map(str, words)])
    shown = b""
    for question, answer in typed:
        while not shown.endswith(question):
            shown += os.read(terminal, 1000)
        os.write(terminal, answer + b"\n")
    with contextlib.suppress(OSError):  # EIO: the other side is gone
        while more := os.read(terminal, 1000):
            shown += more
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_on_a_terminal_the_password_is_asked_for_without_echo(tmp_path):
    (tmp_path / "encrypted").write_bytes(ENCRYPTED)
    words = ["key", "decrypt", tmp_path / "encrypted", "--password-file", "-"]
    status, shown = at_a_terminal(words, (b"Password: ", b"secret"))
    assert status == 0
    assert KEY.rstrip() in shown
    assert b"secret" not in shown


def test_while_it_works_it_makes_no_core_and_is_nobodys_to_look_into(tmp_path):
    (tmp_path / "encrypted").write_bytes(ENCRYPTED)
    os.mkfifo(tmp_path / "password")
    words = ["key", "decrypt", tmp_path / "encrypted", "--password-file", tmp_path / "password"]
    root = os.path.dirname(os.path.dirname(os.path.dirname(module.__file__)))
    with subprocess.Popen([sys.executable, "-m", "nodeagent", *words], cwd=root, stdout=subprocess.PIPE) as process:
        with (tmp_path / "password").open("wb") as password:  # as soon as it reads
            limits = Path(f"/proc/{process.pid}/limits").read_text()
            owner = Path(f"/proc/{process.pid}/mem").stat().st_uid
            password.write(b"secret\n")
        assert process.stdout is not None
        assert process.stdout.read() == KEY
    (cores,) = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
    assert set(cores) <= {"0", "1"}
    assert owner == 0


def test_a_new_password_is_asked_for_twice(tmp_path):
    words = ["key", "generate", tmp_path / "new", "--password-file", "-"]
    status, shown = at_a_terminal(words, (b"Password: ", b"secret"), (b"Once more: ", b"secrte"))
    assert status == 1
    assert b"two different passwords" in shown
    assert not (tmp_path / "new").exists()
    status, shown = at_a_terminal(words, (b"Password: ", b"secret"), (b"Once more: ", b"secret"))
    assert status == 0
    assert b"secret" not in shown
    deploy_key.decrypt_deploy_key((tmp_path / "new/key.enc").read_bytes(), b"secret")


@pytest.mark.parametrize(
    ("content", "given", "error"),
    [
        (ENCRYPTED, b"wrong\n", WrongPassword),
        (ENCRYPTED, b"wrong 26\n", WrongPassword),
        (container.encrypt(b"ssh-ed25519 AAAA admin\n", b"secret"), b"secret\n", KeyFileInvalid),
        (ENCRYPTED[:30], b"secret\n", KeyFileInvalid),
        (b"", b"secret\n", KeyFileInvalid),
        (None, b"secret\n", KeyFileInvalid),
        (ENCRYPTED, b"", PasswordUnavailable),
        (ENCRYPTED, None, PasswordUnavailable),
    ],
)
def test_on_an_error_nothing_is_on_standard_output(tmp_path, content, given, error, capfdbinary):
    for name, data in (("encrypted", content), ("given", given)):
        if data is not None:
            (tmp_path / name).write_bytes(data)

    with pytest.raises(error):
        call("decrypt", tmp_path / "encrypted", "--password-file", tmp_path / "given")
    assert capfdbinary.readouterr().out == b""


def test_the_wrong_password_of_these_tests_passes_the_padding():
    assert container.decrypt(ENCRYPTED, b"wrong 26") not in {b"", KEY}


def test_an_empty_standard_input_is_no_password(tmp_path, stdin):
    (tmp_path / "plain").touch()
    stdin(b"")

    with pytest.raises(PasswordUnavailable, match="standard input"):
        call("encrypt", tmp_path / "plain", "--password-file", "-")


def test_encrypt_and_decrypt_demand_a_password_file(tmp_path, capsys):
    for verb in ("encrypt", "decrypt"):
        with pytest.raises(SystemExit):
            call(verb, tmp_path)
        assert "--password-file" in capsys.readouterr().err


def test_a_generated_key_opens_with_the_password_that_is_shown_once(tmp_path, capsys):
    assert call("generate", tmp_path / "new", "--comment", "nodes") == 0

    shown = capsys.readouterr().out
    password = shown.partition("password: ")[2].split()[0]
    encrypted = (tmp_path / "new/key.enc").read_bytes()
    assert deploy_key.decrypt_deploy_key(encrypted, password.encode()) == (tmp_path / "new/key").read_bytes()
    assert (tmp_path / "new/key.pub").read_text().endswith(" nodes\n")
    assert shown.count(password) == 1
    assert not any(password.encode() in path.read_bytes() for path in (tmp_path / "new").iterdir())


def test_a_given_password_is_taken_and_not_shown(tmp_path, password, capsys):
    assert call("generate", tmp_path / "new", "--password-file", password) == 0

    assert "pässwörd" not in capsys.readouterr().out
    deploy_key.decrypt_deploy_key((tmp_path / "new/key.enc").read_bytes(), "pässwörd".encode())
    assert (tmp_path / "new/key.pub").read_text().rstrip().endswith(f"nodeagent@{os.uname().nodename}")


def test_a_key_without_a_password_is_not_made(tmp_path):
    (tmp_path / "password").write_bytes(b"\n")

    with pytest.raises(PasswordUnavailable, match="needs a password"):
        call("generate", tmp_path / "new", "--password-file", tmp_path / "password")
    assert not (tmp_path / "new").exists()


def test_a_key_is_never_overwritten(tmp_path):
    call("generate", tmp_path / "new")
    before = (tmp_path / "new/key").read_bytes()

    with pytest.raises(NodeagentError, match="never overwritten"):
        call("generate", tmp_path / "new")
    assert (tmp_path / "new/key").read_bytes() == before
