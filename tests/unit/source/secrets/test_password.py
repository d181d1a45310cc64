import pytest

from nodeagent.config import Password
from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.password import first_line, read_password


@pytest.fixture
def config(memory):
    return Password(file=memory / "password")


def put(path, data, mode=0o400):
    path.write_bytes(data)
    path.chmod(mode)


def read(config, credentials=None):
    with read_password(config, credentials) as found:
        return bytes(found.view)


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
    found = Secret(bytearray(data))
    assert first_line(found)
    assert bytes(found.view) == password


@pytest.mark.parametrize("data", [b"", b"\0", b"\0secret\n"])
def test_nothing_is_no_password(data):
    assert not first_line(Secret(bytearray(data)))


def test_what_follows_the_first_line_is_overwritten():
    buffer = bytearray(b"secret\nsecond line")
    assert first_line(Secret(buffer))
    assert buffer == b"secret" + bytes(12)


def test_the_systemd_credential_goes_before_the_file(config, tmp_path):
    put(config.file, b"from the file\n")
    put(tmp_path / "nodeagent.password", b"from systemd\n")

    assert read(config, tmp_path) == b"from systemd"


def test_without_the_credential_the_file_is_read(config, tmp_path):
    put(config.file, b"from the file\n")

    assert read(config, tmp_path) == b"from the file"
    assert read(config, None) == b"from the file"


def test_without_both_a_program_is_asked(config, tmp_path):
    told = config.model_copy(update={"command": ("echo", "from a program")})
    assert read(told, tmp_path) == b"from a program"

    put(config.file, b"from the file\n")
    assert read(told, tmp_path) == b"from the file"


def test_a_program_that_prints_nothing_is_named(config):
    with pytest.raises(PasswordUnavailable, match=r"password\.command: true: is empty"):
        read(config.model_copy(update={"command": ("true",)}))


def test_no_source_names_what_was_tried_and_the_mend(config, tmp_path):
    with pytest.raises(PasswordUnavailable) as raised:
        read_password(config, tmp_path)

    for text in (str(tmp_path / "nodeagent.password"), str(config.file), "LoadCredential=nodeagent.password"):
        assert text in str(raised.value)


def test_a_credential_that_others_may_read_is_refused_and_the_file_is_not_tried(config, tmp_path):
    put(config.file, b"secret\n")
    put(tmp_path / "nodeagent.password", b"secret\n", 0o444)

    with pytest.raises(PasswordUnavailable, match="0444"):
        read_password(config, tmp_path)


def test_an_empty_file_is_refused(config):
    put(config.file, b"")

    with pytest.raises(PasswordUnavailable, match="is empty"):
        read_password(config, None)


def test_the_password_does_not_show_itself(config):
    put(config.file, b"secret\n")

    found = read_password(config, None)
    assert "secret" not in f"{found!r} {found}"


@pytest.mark.parametrize("name", ["", "../password", "a/b", "x" * 256])
def test_the_name_of_a_credential_leads_nowhere_else(name):
    with pytest.raises(ValueError, match="credential"):
        Password(credential=name)
