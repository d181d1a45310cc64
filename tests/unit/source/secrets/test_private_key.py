import base64
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.errors import KeyFileInvalid
from nodeagent.source.secrets.private_key import demand_usable

OPENSSH_FORM: tuple[str, ...] = ()
PEM, PKCS8 = ("-m", "PEM"), ("-m", "PKCS8")
KINDS = [
    (("-t", "ed25519"), OPENSSH_FORM),
    *((("-t", "ecdsa", "-b", bits), form) for bits in ("256", "384", "521") for form in (OPENSSH_FORM, PEM, PKCS8)),
    *((("-t", "rsa", "-b", "2048"), form) for form in (OPENSSH_FORM, PEM, PKCS8)),
]


def made(tmp_path, *words, passphrase=""):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", *words, "-N", passphrase, "-f", key], check=True)
    return key.read_bytes()


def genpkey(*words):
    return subprocess.run(["openssl", "genpkey", *words], check=True, capture_output=True).stdout


@pytest.mark.parametrize(("kind", "form"), KINDS, ids=" ".join)
def test_every_private_key_of_ssh_keygen_is_accepted_unless_it_has_a_passphrase(tmp_path, kind, form):
    private = made(tmp_path, *kind, *form)
    demand_usable(private)
    demand_usable(private.replace(b"\n", b"\r\n"))

    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-p", *form, "-N", "a passphrase", "-f", key], check=True, capture_output=True)
    with pytest.raises(KeyFileInvalid, match="passphrase of its own"):
        demand_usable(key.read_bytes())


def test_an_ed25519_key_in_pkcs8_is_accepted():
    demand_usable(genpkey("-algorithm", "ed25519"))


def test_what_openssl_writes_before_a_key_is_passed_over():
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey"]
    private = subprocess.run(command, check=True, capture_output=True).stdout
    assert private.startswith(b"-----BEGIN EC PARAMETERS-----")
    demand_usable(private)


@pytest.mark.parametrize("form", [OPENSSH_FORM, PEM, PKCS8])
def test_dsa_is_told_as_what_nobody_can_log_in_with(tmp_path, form):
    with pytest.raises(KeyFileInvalid, match="libssh2 does not log in"):
        demand_usable(made(tmp_path, "-t", "dsa", *form))


@pytest.mark.parametrize("words", [["-algorithm", "ed448"], ["-algorithm", "x25519"]])
def test_another_kind_in_pkcs8_is_told(words):
    with pytest.raises(KeyFileInvalid, match="neither RSA, nor ECDSA, nor ed25519"):
        demand_usable(genpkey(*words))


@pytest.mark.parametrize("form", ["pkcs8", "sec1"])
def test_a_curve_that_ssh_does_not_have_is_told(tmp_path, form):
    private = genpkey("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")
    if form == "sec1":
        convert = ["openssl", "pkey", "-traditional"]
        private = subprocess.run(convert, input=private, check=True, capture_output=True).stdout

    with pytest.raises(KeyFileInvalid, match="another elliptic curve"):
        demand_usable(private)


def test_a_key_of_a_security_key_is_told():
    def string(data):
        return len(data).to_bytes(4, "big") + data

    public = string(b"sk-ssh-ed25519@openssh.com") + string(bytes(32)) + string(b"ssh:")
    body = b"openssh-key-v1\0" + string(b"none") * 2 + string(b"") + b"\0\0\0\1" + string(public) + string(bytes(64))
    text = base64.encodebytes(body)

    with pytest.raises(KeyFileInvalid, match="security key"):
        demand_usable(b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"ssh-ed25519 AAAA admin\n", r"without \.pub"),
        (b"ssh-ed25519-cert-v01@openssh.com AAAA admin\n", r"a certificate: .*without -cert\.pub"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\r\n", "puttygen"),
        (b"", r"without \.pub"),
        (b"\xff\0", r"without \.pub"),
    ],
)
def test_what_was_taken_for_the_private_key_is_told(text, told):
    with pytest.raises(KeyFileInvalid, match=told):
        demand_usable(text)


def test_the_message_names_the_place_of_the_key():
    with pytest.raises(KeyFileInvalid, match="the key in the credential is none"):
        demand_usable(b"", "the key in the credential")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_key_is_accepted_or_told_and_never_shown(private, data):
    at = data.draw(st.integers(0, len(private) - 1))
    match data.draw(st.sampled_from(["cut", "flip", "drop"])):
        case "cut":
            damaged = private[:at]
        case "flip":
            damaged = private[:at] + bytes([private[at] ^ data.draw(st.integers(1, 255))]) + private[at + 1 :]
        case _:
            damaged = private[:at] + private[at + 1 :]
    told = ""
    try:
        demand_usable(damaged)
    except KeyFileInvalid as error:
        told = str(error)
    assert not any(line[:20] in told for line in private.decode().splitlines()[1:-1])


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    return made(tmp_path_factory.mktemp("key"), "-t", "ed25519")
