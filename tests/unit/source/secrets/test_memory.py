import faulthandler
import os
import resource
import signal
import subprocess  # noqa: TID251 - tests drive the real programs
import sys
from pathlib import Path

import pytest

from nodeagent.source.secrets import container, deploy_key
from nodeagent.source.secrets.memory import Secret, keep_out_of_cores
from nodeagent.workers.child import allow_no_core
from testbed import marks


def piped(data):
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return read


def test_a_secret_is_overwritten_at_the_end_of_its_block():
    buffer = bytearray(b"secret and more")
    with Secret(buffer, 6) as secret:
        assert bytes(secret.view) == b"secret"
    assert buffer == bytes(15)
    assert len(secret) == 0


def test_what_is_cut_off_is_overwritten():
    buffer = bytearray(b"secret and more")
    Secret(buffer).cut(6)
    assert buffer == b"secret" + bytes(9)


def test_a_secret_does_not_show_itself():
    assert "secret" not in repr(Secret(bytearray(b"secret"))) + str(Secret(bytearray(b"secret")))


@pytest.mark.parametrize(("most", "found"), [(3, b"one"), (8, b"one\ntwo\n"), (100, b"one\ntwo\n")])
def test_it_is_read_to_the_end_or_as_far_as_asked(most, found):
    assert bytes(Secret.read(piped(b"one\ntwo\n"), most).view) == found


def test_of_a_line_that_is_read_what_follows_stays():
    pipe = piped(b"one\ntwo\n")
    assert bytes(Secret.read_line(pipe, 100).view) == b"one\n"
    assert bytes(Secret.read_line(pipe, 2).view) == b"tw"
    assert os.read(pipe, 100) == b"o\n"
    assert bytes(Secret.read_line(pipe, 100).view) == b""


def test_a_process_that_is_kept_out_of_cores_leaves_none(tmp_path):
    def left_by(prepare):
        pid = os.fork()
        if pid == 0:
            faulthandler.disable()
            os.chdir(tmp_path)
            _, hard = resource.getrlimit(resource.RLIMIT_CORE)
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
            prepare()
            os.abort()
        status = os.waitpid(pid, 0)[1]
        assert os.WTERMSIG(status) == signal.SIGABRT
        return os.WCOREDUMP(status)

    assert not left_by(keep_out_of_cores)
    assert not left_by(allow_no_core)
    if not left_by(str):
        pytest.skip("this machine makes no cores at all")


UNLOCK = """
import sys
from pathlib import Path
from nodeagent.config import Config
from nodeagent.source.secrets.unlock import unlock
directory = Path(sys.argv[1])
config = Config.model_validate({
    "source": {"url": "ssh://git@server/repository.git", "key": directory / "key.enc"},
    "password": {"file": directory / "password", "command": ("cat", f"{directory}/printed")},
    "paths": {"runtime": directory / "run"},
})
assert unlock(config, None).startswith(b"-----BEGIN")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look into a process that keeps others out")
@pytest.mark.parametrize("source", ["password", "printed"])
def test_of_a_process_that_has_opened_the_key_nobody_learns_the_password(memory, source):
    password = marks.password()
    private, _ = deploy_key.generate("")
    (memory / "key.enc").write_bytes(container.encrypt(private, password))
    (memory / source).touch(mode=0o600)
    (memory / source).write_bytes(password + b"\n")
    with subprocess.Popen(
        [sys.executable, "-c", UNLOCK, memory],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        image = marks.memory_of(process.pid)
        process.communicate()
    assert private.splitlines()[2] in image, "the key was opened, and can be found"
    assert password not in image
