import sys

import pytest

from nodeagent.errors import AuthenticationFailed, CertificateInvalid
from nodeagent.model.address import parse
from nodeagent.source.libgit2 import enums, pygit2
from nodeagent.source.remote.https import Callbacks, Login, trust

LOGIN = Login(user="git", secret="token")
PLAIN = enums.CredentialType.USERPASS_PLAINTEXT


def asked(url, configured="https://git.example/r", login=LOGIN):
    return Callbacks(parse(configured), login, None).credentials(url, None, PLAIN)


@pytest.mark.parametrize(
    ("url", "configured"),
    [
        ("https://git.example/r/info/refs", "https://git.example/r"),
        ("https://git.example:443/other", "https://GIT.example/r"),
        ("https://git.example:8443/r", "https://git.example:8443/r"),
        ("https://[fd00::1]:8443/r", "https://[fd00::1]:8443/r"),
    ],
)
def test_the_configured_server_is_told_who_comes(url, configured):
    assert asked(url, configured).credential_tuple == ("git", "token")


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/r",
        "https://git.example:8443/r",
        "https://git.example.elsewhere.example/r",
        "http://git.example/r",
        "https://git.example@elsewhere.example/r",
    ],
)
def test_nobody_else_is(url):
    with pytest.raises(AuthenticationFailed, match=r"put that address into source\.url") as raised:
        asked(url)
    assert "token" not in str(raised.value).replace("password or token", "")


def test_the_same_is_offered_once():
    callbacks = Callbacks(parse("https://git.example/r"), LOGIN, None)
    callbacks.credentials("https://git.example/r", None, PLAIN)

    with pytest.raises(AuthenticationFailed, match="refused user git"):
        callbacks.credentials("https://git.example/r", None, PLAIN)


def test_a_login_does_not_show_its_secret():
    assert "token" not in repr(LOGIN)


def certificates(authorities):
    """What OpenSSL is made to read."""
    read = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pygit2.settings), "set_ssl_cert_locations", lambda _, file, directory: read.append(file))
        trust(authorities)
    return read


def test_with_a_ca_file_no_others_are_trusted(tmp_path):
    assert certificates(tmp_path / "ca.pem") == [str(tmp_path / "ca.pem")]
    assert len(certificates(None)) <= 1


def test_a_certificate_is_refused_though_what_reads_it_cannot_be_had(monkeypatch):
    monkeypatch.setitem(sys.modules, "nodeagent.source.remote.certificate", None)
    monkeypatch.delattr("nodeagent.source.remote.certificate", raising=False)

    with pytest.raises(CertificateInvalid, match=r"git\.example"):
        Callbacks(parse("https://git.example/r"), LOGIN, None).certificate_check(b"x", False, b"git.example")


def test_bytes_that_are_no_certificate_are_refused():
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        Callbacks(parse("https://git.example/r"), LOGIN, None).certificate_check(b"x", False, b"git.example")
