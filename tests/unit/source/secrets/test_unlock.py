import ctypes
import errno
import os
import stat

import pytest

from nodeagent.config import Config
from nodeagent.errors import InsecureStorage, KeyFileInvalid, NodeUnusable, PasswordUnavailable, WrongPassword
from nodeagent.source.secrets import container, deploy_key
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.unlock import forget, unlock, unlock_with

KEY = deploy_key.generate("")[0]
OTHER = deploy_key.generate("")[0]


@pytest.fixture
def config(memory, disk):
    (disk / "key.enc").write_bytes(container.encrypt(KEY, b"password"))
    (memory / "password").touch(mode=0o600)
    (memory / "password").write_bytes(b"password\n")
    return Config.model_validate(
        {
            "source": {"url": "ssh://git@server/repository.git", "key": disk / "key.enc"},
            "password": {"file": memory / "password"},
            "paths": {"runtime": memory / "run"},
        }
    )


def kept(config):
    return list((config.paths.runtime / "private").iterdir())


def test_the_key_is_decrypted_and_kept_for_root_alone(config):
    assert unlock(config, None) == KEY

    (file,) = kept(config)
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_bytes() == KEY


def test_the_key_is_decrypted_once(config):
    unlock(config, None)
    config.password.file.unlink()

    assert unlock(config, None) == KEY


def test_a_key_file_of_other_rounds_and_digest_is_opened_as_the_configuration_says(config):
    derivation = container.Derivation(iterations=1000, digest="sha512")
    config.source.key.write_bytes(container.encrypt(KEY, b"password", derivation))
    with pytest.raises(WrongPassword, match=r"key_iterations and source\.key_digest"):
        unlock(config, None)

    told = config.source.model_copy(update={"key_iterations": 1000, "key_digest": "sha512"})
    assert unlock(config.model_copy(update={"source": told}), None) == KEY


def test_an_unencrypted_key_as_a_credential_needs_no_password_and_is_not_copied(config, memory):
    config.password.file.unlink()
    config.source.key.unlink()
    (memory / "nodeagent.key").write_bytes(OTHER)
    (memory / "nodeagent.key").chmod(0o400)

    assert unlock(config, memory) == OTHER
    assert not config.paths.runtime.exists()


def test_without_the_credential_the_key_file_is_opened(config, memory):
    assert unlock(config, memory) == KEY


def test_a_credential_that_is_no_key_is_told_with_its_place(config, memory):
    (memory / "nodeagent.key").write_bytes(config.source.key.read_bytes())
    (memory / "nodeagent.key").chmod(0o400)

    with pytest.raises(KeyFileInvalid, match=r"/nodeagent\.key: the private key in the credential is none"):
        unlock(config, memory)


def test_a_credential_with_a_key_that_others_may_read_is_refused(config, memory):
    (memory / "nodeagent.key").write_bytes(OTHER)
    (memory / "nodeagent.key").chmod(0o444)

    with pytest.raises(PasswordUnavailable, match="0444"):
        unlock(config, memory)


def test_a_password_that_is_given_opens_the_key_for_who_comes_after(config):
    config.password.file.unlink()
    with Secret(bytearray(b"password")) as password:
        unlock_with(config, password)

    assert unlock(config, None) == KEY


def test_a_given_password_that_is_wrong_or_empty_is_told_though_the_key_is_open(config):
    unlock(config, None)
    for wrong in (b"wrong", b""):
        with pytest.raises(WrongPassword), Secret(bytearray(wrong)) as password:
            unlock_with(config, password)


def test_a_changed_key_file_is_decrypted_anew_and_the_old_key_goes(config):
    unlock(config, None)
    config.source.key.write_bytes(container.encrypt(OTHER, b"password"))

    assert unlock(config, None) == OTHER
    assert [file.read_bytes() for file in kept(config)] == [OTHER]


def test_a_changed_key_file_is_never_answered_with_the_old_key(config):
    unlock(config, None)
    config.source.key.write_bytes(container.encrypt(OTHER, b"another password"))

    with pytest.raises(WrongPassword, match=r"key\.enc: the password does not open"):
        unlock(config, None)


def test_a_leftover_of_a_crash_does_not_stay(config):
    unlock(config, None)
    (config.paths.runtime / "private" / ".deploy_key.1-2-3-4.99").write_bytes(KEY)
    config.source.key.write_bytes(container.encrypt(OTHER, b"password"))

    unlock(config, None)

    assert [file.read_bytes() for file in kept(config)] == [OTHER]


def test_a_key_that_cannot_be_placed_leaves_nothing_behind(config, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", full)

    with pytest.raises(NodeUnusable, match="No space"):
        unlock(config, None)
    assert kept(config) == []


def test_many_that_unlock_and_forget_at_once_do_each_other_no_harm(config):
    quick = config.source.model_copy(update={"key_iterations": 1})
    config = config.model_copy(update={"source": quick})
    quick.key.write_bytes(container.encrypt(KEY, b"password", container.Derivation(iterations=1)))

    def work():
        for _ in range(300):
            assert unlock(config, None) == KEY
            forget(config.paths.runtime)

    pids = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert kept(config) == []


def test_forgetting_removes_the_key(config):
    unlock(config, None)
    forget(config.paths.runtime)

    assert kept(config) == []


def test_a_runtime_directory_on_a_disk_is_refused_before_the_key_is_decrypted(config, disk):
    config = config.model_copy(update={"paths": config.paths.model_copy(update={"runtime": disk / "run"})})

    with pytest.raises(InsecureStorage, match="disk"):
        unlock(config, None)
    assert kept(config) == []


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o777])
def test_a_private_directory_that_others_may_enter_is_refused(config, mode):
    (config.paths.runtime / "private").mkdir(parents=True)
    (config.paths.runtime / "private").chmod(mode)

    with pytest.raises(InsecureStorage, match="0700"):
        unlock(config, None)


def test_a_link_in_place_of_the_private_directory_is_refused(config, memory):
    (memory / "elsewhere").mkdir(mode=0o700)
    config.paths.runtime.mkdir()
    (config.paths.runtime / "private").symlink_to(memory / "elsewhere")

    with pytest.raises(InsecureStorage):
        unlock(config, None)


def test_a_missing_key_file_says_where_it_belongs(config):
    config.source.key.unlink()

    with pytest.raises(KeyFileInvalid, match=r"key\.enc.*source\.key"):
        unlock(config, None)


def test_a_missing_password_leaves_nothing_behind(config):
    config.password.file.unlink()

    with pytest.raises(PasswordUnavailable):
        unlock(config, None)
    assert kept(config) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads anything; another user sees the error at once")
def test_a_key_file_that_is_a_directory_is_named(config):
    config.source.key.unlink()
    config.source.key.mkdir()

    with pytest.raises(KeyFileInvalid, match="cannot be read"):
        unlock(config, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")
def test_a_full_tmpfs_is_named_and_no_part_of_a_key_stays(config):
    run = config.paths.runtime
    (run / "private").mkdir(mode=0o700, parents=True)
    run.chmod(0o755)
    pid = os.fork()
    if pid == 0:  # in a mount namespace of its own
        try:
            libc = ctypes.CDLL(None)
            assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
            assert libc.mount(None, b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
            assert libc.mount(b"t", os.fsencode(run / "private"), b"tmpfs", 0, b"size=4k,mode=0700") == 0
            (run / "private/filler").write_bytes(b"x" * 4096)
            with pytest.raises(NodeUnusable, match=r"/private/deploy_key\..*: No space left on device: make room"):
                unlock(config, None)
            assert [file.name for file in kept(config)] == ["filler"]
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_two_processes_that_open_the_key_at_a_time_leave_it_to_each_other(config, monkeypatch):
    """A verb beside the daemon, say: the other one comes and goes while the first one is about to place the key."""
    open_really, others = os.open, []

    def open_and_be_overtaken(path, flags, mode=0o777, *, dir_fd=None):
        found = open_really(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_EXCL and not others:
            others.append(os.fork())
            if others == [0]:
                os._exit(unlock(config, None) != KEY)
            assert os.waitpid(others[0], 0)[1] == 0
        return found

    monkeypatch.setattr(os, "open", open_and_be_overtaken)
    assert unlock(config, None) == KEY
    assert others
    assert len(kept(config)) == 1


def test_what_a_killed_process_left_of_a_key_is_removed(config):
    unlock(config, None)
    (before,) = kept(config)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    left = before.rename(before.with_name(f".{before.name}.{pid}"))

    unlock(config, None)
    assert before in kept(config)
    assert left not in kept(config)
