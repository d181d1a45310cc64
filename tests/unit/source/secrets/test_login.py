import pytest

from nodeagent.config import Login, ProxyLogin
from nodeagent.errors import PasswordUnavailable
from nodeagent.source.secrets.login import read_login


def put(path, data):
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "secret"), [(b"token", "token"), (b"token\r\nx", "token"), (b" a b \n", " a b "), ("ü\n".encode(), "ü")]
)
def test_the_first_line_of_the_credential_is_taken(tmp_path, data, secret):
    put(tmp_path / "nodeagent.login", data)

    assert read_login(Login(file=tmp_path / "none"), tmp_path) == secret


def test_the_credential_goes_before_the_file_which_must_lie_in_memory(tmp_path):
    file = put(tmp_path / "file", b"one\n")
    put(tmp_path / "nodeagent.proxy", b"two\n")

    assert read_login(ProxyLogin(file=file), tmp_path) == "two"
    with pytest.raises(PasswordUnavailable, match="lies on a disk"):
        read_login(ProxyLogin(file=file), None)


def test_none_is_none(tmp_path):
    assert read_login(Login(file=tmp_path / "none"), None) is None
    assert read_login(Login(file=tmp_path / "none"), tmp_path) is None


@pytest.mark.parametrize("data", [b"", b"\n", b"\0", b"\xff\n"])
def test_what_is_no_line_of_text_is_named_and_not_shown(tmp_path, data):
    put(tmp_path / "nodeagent.login", data)

    with pytest.raises(PasswordUnavailable, match=r"nodeagent\.login: "):
        read_login(Login(file=tmp_path / "none"), tmp_path)
