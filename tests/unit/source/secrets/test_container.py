import base64
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.errors import KeyFileInvalid, WrongPassword
from nodeagent.source.secrets import container
from nodeagent.source.secrets.container import Derivation
from nodeagent.source.secrets.memory import Secret
from nodeagent.source.secrets.password import first_line

# What openssl -pass file: takes whole: no LF, no NUL, at most 1023 bytes.
passwords = st.binary(min_size=1, max_size=60).filter(lambda p: not {b"\n"[0], 0} & set(p))
payloads = st.binary(max_size=2000)
derivations = st.builds(Derivation, iterations=st.integers(1, 3000), digest=st.sampled_from(["sha256", "sha512"]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("openssl")


def openssl(place, *arguments, password, data, derivation=None):
    (place / "password").write_bytes(password + b"\n")
    command = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", f"file:{place}/password", *arguments]
    if derivation is not None:
        command += ["-iter", str(derivation.iterations), "-md", derivation.digest]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@settings(max_examples=40, deadline=None)
@given(payload=payloads, password=passwords)
def test_openssl_reads_what_we_write(place, payload, password):
    written = container.encrypt(payload, password)

    assert openssl(place, "-d", "-a", password=password, data=written) == payload
    assert all(len(line) <= 64 for line in written.split(b"\n"))


@settings(max_examples=40, deadline=None)
@given(payload=payloads, password=passwords, encoded=st.booleans(), crlf=st.booleans())
def test_we_read_what_openssl_writes(place, payload, password, encoded, crlf):
    written = openssl(place, *(["-a"] if encoded else []), "-salt", password=password, data=payload)
    if encoded and crlf:
        written = written.replace(b"\n", b"\r\n")

    assert container.decrypt(written, password) == payload


@settings(max_examples=40, deadline=None)
@given(payload=payloads, password=passwords, encoded=st.booleans(), derivation=derivations)
def test_rounds_and_digest_are_openssls_iter_and_md_both_ways(place, payload, password, encoded, derivation):
    given_to_openssl = {"password": password, "derivation": derivation}

    theirs = openssl(place, *(["-a"] if encoded else []), data=payload, **given_to_openssl)
    ours = container.encrypt(payload, password, derivation)

    assert container.decrypt(theirs, password, derivation) == payload
    assert openssl(place, "-d", "-a", data=ours, **given_to_openssl) == payload


@given(payload=payloads, password=st.binary(max_size=2000))
@settings(max_examples=30, deadline=None)
def test_we_read_what_we_write_whatever_the_payload_and_password(payload, password):
    assert container.decrypt(container.encrypt(payload, password), password) == payload


def test_the_base64_may_be_on_one_line_or_indented():
    written = container.encrypt(b"payload", b"password")

    assert container.decrypt(written.replace(b"\n", b""), b"password") == b"payload"
    assert container.decrypt(b"\n  " + written.replace(b"\n", b"\n\t"), b"password") == b"payload"


def test_two_encryptions_of_one_payload_differ():
    assert container.encrypt(b"payload", b"password") != container.encrypt(b"payload", b"password")


def test_a_key_file_of_other_rounds_or_digest_is_told_with_what_was_tried_and_the_settings():
    written = container.encrypt(b"payload" * 100, b"password", Derivation(iterations=20_000))

    with pytest.raises(WrongPassword, match=r"10000 rounds of sha256.*source\.key_iterations.*source\.key_digest"):
        container.decrypt(written, b"password")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"not base64!", "neither base64"),
        (base64.b64encode(b"something else"), "does not begin with"),
        (b"Salted__12345678", "cut off"),
        (b"Salted__1234", "cut off"),
        (b"Salted__12345678" + b"x" * 17, "cut off"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", r"is not encrypted.*source\.key_credential"),
    ],
)
def test_what_is_no_key_file_says_how_to_make_one(data, text):
    with pytest.raises(KeyFileInvalid, match=text) as raised:
        container.decrypt(data, b"password")
    assert "openssl enc -aes-256-cbc -a -salt -pbkdf2" in str(raised.value)


def test_a_carriage_return_in_the_password_is_pointed_out():
    written = container.encrypt(b"payload" * 100, b"password")

    with pytest.raises(WrongPassword, match="carriage return"):
        container.decrypt(written, b"password\r")


def test_an_empty_password_is_pointed_out():
    with pytest.raises(WrongPassword, match="is empty"):
        container.decrypt(container.encrypt(b"payload" * 100, b"password"), b"")


@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=80) | st.binary(min_size=1000, max_size=1100).map(lambda b: b[:1] * 1100))
def test_the_first_line_of_a_password_file_is_what_openssl_takes(place, data):
    (place / "file").write_bytes(data)
    command = ["openssl", "enc", "-aes-256-cbc", "-a", "-pbkdf2", "-pass", f"file:{place}/file"]
    done = subprocess.run(command, input=b"payload", capture_output=True, check=False)

    password = Secret(bytearray(data))

    assert first_line(password) == (done.returncode == 0)
    if done.returncode == 0:
        assert container.decrypt(done.stdout, password.view) == b"payload"
