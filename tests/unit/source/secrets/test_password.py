import os

import pytest

from nodeagent.config import Password
from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets.password import first_line, read_password


@pytest.fixture
def config(memory):
    return Password(file=memory / "password")


def put(path, data, mode=0o400):
    path.write_bytes(data)
    path.chmod(mode)


def read(config, credentials=None):
    return read_password(config, credentials).get_secret_value()


@pytest.mark.parametrize(
    ("data", "password"),
    [
        (b"secret\n", b"secret"),
        (b"secret", b"secret"),
        (b"secret\r\n", b"secret\r"),
        (b"secret\nsecond line\n", b"secret"),
        (b" spaces count \n", b" spaces count "),
        (b"\n", b""),
        (b"se\0cret\n", b"se"),
        (b"x" * 2000, b"x" * 1023),
        ("pässwörd\n".encode(), "pässwörd".encode()),
        (b"\xff\xfe\n", b"\xff\xfe"),
    ],
)
def test_the_password_is_the_first_line(data, password):
    assert first_line(data).get_secret_value() == password


def test_nothing_is_no_password():
    assert first_line(b"") is None


def test_the_systemd_credential_goes_before_the_file(config, tmp_path):
    put(config.file, b"from the file\n")
    put(tmp_path / "nodeagent.password", b"from systemd\n")

    assert read(config, tmp_path) == b"from systemd"


def test_without_the_credential_the_file_is_read(config, tmp_path):
    put(config.file, b"from the file\n")

    assert read(config, tmp_path) == b"from the file"
    assert read(config, None) == b"from the file"


def test_no_source_names_what_was_tried_and_the_mend(config, tmp_path):
    with pytest.raises(PasswordUnavailable) as raised:
        read_password(config, tmp_path)

    for text in (str(tmp_path / "nodeagent.password"), str(config.file), "LoadCredential=nodeagent.password"):
        assert text in str(raised.value)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o460, 0o420, 0o401])
def test_a_file_that_others_may_reach_is_refused(config, mode):
    put(config.file, b"secret\n", mode)

    with pytest.raises(PasswordUnavailable, match=f"{mode:04o}"):
        read_password(config, None)


def test_a_credential_that_others_may_read_is_refused_and_the_file_is_not_tried(config, tmp_path):
    put(config.file, b"secret\n")
    put(tmp_path / "nodeagent.password", b"secret\n", 0o444)

    with pytest.raises(PasswordUnavailable, match="0444"):
        read_password(config, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_file_of_somebody_else_is_refused(config):
    put(config.file, b"secret\n")
    os.chown(config.file, 65534, 65534)

    with pytest.raises(PasswordUnavailable, match="belongs to user 65534"):
        read_password(config, None)


def test_a_file_on_a_disk_is_refused(disk):
    put(disk / "password", b"secret\n")

    with pytest.raises(PasswordUnavailable, match="disk"):
        read_password(Password(file=disk / "password"), None)


def test_a_link_from_memory_to_a_disk_is_refused(config, disk):
    put(disk / "password", b"secret\n")
    config.file.symlink_to(disk / "password")

    with pytest.raises(PasswordUnavailable, match="disk"):
        read_password(config, None)


def test_a_file_out_of_reach_is_named(config):
    config.file.touch()

    with pytest.raises(PasswordUnavailable, match="below: cannot be read"):
        read_password(Password(file=config.file / "below"), None)


def test_an_empty_file_is_refused(config):
    put(config.file, b"")

    with pytest.raises(PasswordUnavailable, match="is empty"):
        read_password(config, None)


def test_a_directory_or_fifo_is_refused_without_waiting(config):
    os.mkfifo(config.file, 0o600)
    with pytest.raises(PasswordUnavailable, match="no regular file"):
        read_password(config, None)
    config.file.unlink()
    config.file.mkdir()
    with pytest.raises(PasswordUnavailable, match="no regular file"):
        read_password(config, None)


def test_the_password_does_not_show_itself(config):
    put(config.file, b"secret\n")

    assert "secret" not in f"{read_password(config, None)!r} {read_password(config, None)}"
