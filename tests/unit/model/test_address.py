import pytest

from nodeagent.model.address import Https, Local, Ssh, parse


@pytest.mark.parametrize(
    ("url", "user", "host", "port", "shown"),
    [
        ("ssh://git@server.example/repository.git", "git", "server.example", 22, "server.example"),
        ("ssh://server.example/repository.git", "git", "server.example", 22, "server.example"),
        ("ssh://admin@10.0.0.1:2222/srv/r.git", "admin", "10.0.0.1", 2222, "10.0.0.1:2222"),
        ("ssh://git@[fd00::1]:2222/r.git", "git", "fd00::1", 2222, "[fd00::1]:2222"),
        ("ssh://git@[fd00::1]/r.git", "git", "fd00::1", 22, "fd00::1"),
        ("git@server.example:group/repository.git", "git", "server.example", 22, "server.example"),
        ("server:repository.git", "git", "server", 22, "server"),
        ("ssh://git@server/~admin/r.git", "git", "server", 22, "server"),
    ],
)
def test_an_ssh_address_is_taken_apart(url, user, host, port, shown):
    address = parse(url)

    assert isinstance(address, Ssh)
    assert (address.user, address.host, address.port, str(address)) == (user, host, port, shown)


@pytest.mark.parametrize(
    ("url", "secure", "shown"),
    [
        ("https://git.cluster.example/site/configs.git", True, "git.cluster.example"),
        ("https://git.cluster.example:8443/configs", True, "git.cluster.example:8443"),
        ("https://[fd00::1]:8443/configs", True, "[fd00::1]:8443"),
        ("http://127.0.0.1:3000/configs.git", False, "127.0.0.1:3000"),
        ("http://[::1]/configs.git", False, "[::1]:80"),
        ("http://localhost/configs.git", False, "localhost:80"),
    ],
)
def test_an_https_address_is_taken_apart(url, secure, shown):
    address = parse(url)

    assert isinstance(address, Https)
    assert (address.secure, str(address)) == (secure, shown)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/git/configs.git", "/srv/git/configs.git"),
        ("file:///srv/git/configs.bundle", "/srv/git/configs.bundle"),
        ("file:///srv/my%20git", "/srv/my git"),
        ("/srv/a:b@c", "/srv/a:b@c"),
    ],
)
def test_a_path_is_one_with_and_without_its_scheme(url, path):
    address = parse(url)

    assert isinstance(address, Local)
    assert str(address) == path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ssh://server", "ssh://USER@HOST"),
        ("ssh://server:0/r", "no port"),
        ("ssh://server:99999/r", "no port"),
        ("git@server", "ssh://USER@HOST"),
        ("srv/r.git", "ssh://USER@HOST"),
        ("", "ssh://USER@HOST"),
        ("https://server", "https://HOST"),
        ("https:///r", "https://HOST"),
        ("https://server/r?x=1", "https://HOST"),
        ("https://server/a b", "https://HOST"),
        ("http://server/r.git", "anybody on the way"),
        ("http://127.0.0.1.example/r.git", "anybody on the way"),
        ("git://server/r.git", "impostor"),
        ("ftp://server/r.git", "https://HOST"),
        ("file://server/r.git", "whole path"),
        ("file://r.git", "whole path"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(url, reason):
    with pytest.raises(ValueError, match=reason):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git:secret@server/r.git",
        "git:secret@server:r.git",
        "https://git:secret@server/r.git",
        "https://secret@server/r.git",
        "http://secret@127.0.0.1/r.git",
        "https://git:sec@ret@server/r.git",
    ],
)
def test_an_address_with_a_password_or_token_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match=r"nodeagent\.login") as raised:
        parse(url)
    assert "secret" not in str(raised.value)
    assert "ret@" not in str(raised.value)
