import pytest

from nodeagent.errors import InvalidConfiguration
from nodeagent.source.remote.address import parse


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

    assert (address.user, address.host, address.port, str(address)) == (user, host, port, shown)


@pytest.mark.parametrize(
    "url",
    [
        "https://server/r.git",
        "ssh://git:secret@server/r.git",
        "/srv/r.git",
        "ssh://server",
        "ssh://server:0/r",
        "ssh://server:99999/r",
        "git@server",
        "",
    ],
)
def test_what_is_no_ssh_address_is_refused_with_an_example(url):
    with pytest.raises(InvalidConfiguration, match="ssh://USER@HOST") as raised:
        parse(url)
    assert "secret" not in str(raised.value)
