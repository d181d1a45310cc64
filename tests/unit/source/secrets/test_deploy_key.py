import base64
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.errors import KeyFileInvalid, WrongPassword
from nodeagent.source.secrets import deploy_key
from nodeagent.source.secrets.password import first_line

# What openssl -pass file: takes whole: no LF, no NUL, at most 1023 bytes.
passwords = st.binary(min_size=1, max_size=60).filter(lambda p: not {b"\n"[0], 0} & set(p))
payloads = st.binary(max_size=2000)
KEY_HEAD = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("openssl")


def openssl(place, *arguments, password, data):
    (place / "password").write_bytes(password + b"\n")
    command = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", f"file:{place}/password", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@settings(max_examples=40, deadline=None)
@given(payload=payloads, password=passwords)
def test_openssl_reads_what_we_write(place, payload, password):
    written = deploy_key.encrypt(payload, password)

    assert openssl(place, "-d", "-a", password=password, data=written) == payload
    assert all(len(line) <= 64 for line in written.split(b"\n"))


@settings(max_examples=40, deadline=None)
@given(payload=payloads, password=passwords, encoded=st.booleans(), crlf=st.booleans())
def test_we_read_what_openssl_writes(place, payload, password, encoded, crlf):
    written = openssl(place, *(["-a"] if encoded else []), "-salt", password=password, data=payload)
    if encoded and crlf:
        written = written.replace(b"\n", b"\r\n")

    assert deploy_key.decrypt(written, password) == payload


@given(payload=payloads, password=st.binary(max_size=2000))
@settings(max_examples=30, deadline=None)
def test_we_read_what_we_write_whatever_the_payload_and_password(payload, password):
    assert deploy_key.decrypt(deploy_key.encrypt(payload, password), password) == payload


def test_the_base64_may_be_on_one_line_or_indented():
    written = deploy_key.encrypt(b"payload", b"password")

    assert deploy_key.decrypt(written.replace(b"\n", b""), b"password") == b"payload"
    assert deploy_key.decrypt(b"\n  " + written.replace(b"\n", b"\n\t"), b"password") == b"payload"


def test_two_encryptions_of_one_payload_differ():
    assert deploy_key.encrypt(b"payload", b"password") != deploy_key.encrypt(b"payload", b"password")


@settings(max_examples=30, deadline=None)
@given(payload=payloads, password=passwords, wrong=passwords, data=st.data())
def test_a_wrong_password_never_yields_the_payload(payload, password, wrong, data):
    written = deploy_key.encrypt(KEY_HEAD + payload, password)
    if wrong == password:
        wrong += b"x"

    with pytest.raises(WrongPassword):
        deploy_key.decrypt_deploy_key(written, wrong)


def test_the_one_wrong_password_in_256_that_passes_the_padding_is_a_wrong_password(monkeypatch):
    monkeypatch.setattr(deploy_key, "ROUNDS", 1)  # the 5 ms of a derivation are not what this is about
    written = deploy_key.encrypt(KEY_HEAD + b"payload", b"password")
    noise = 0
    for number in range(5000):
        password = b"wrong %d" % number
        try:
            deploy_key.decrypt(written, password)
        except WrongPassword:
            continue
        noise += 1
        with pytest.raises(WrongPassword):
            deploy_key.decrypt_deploy_key(written, password)
    assert noise > 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_input_gives_one_of_the_two_errors(data):
    written = deploy_key.encrypt(KEY_HEAD + b"x" * 400, b"password")
    raw = data.draw(st.booleans())
    if raw:
        written = base64.b64decode(written)
    how = data.draw(st.sampled_from(["cut", "flip", "drop"]))
    at = data.draw(st.integers(0, len(written) - 1))
    match how:
        case "cut":
            damaged = written[:at]
        case "flip":
            damaged = written[:at] + bytes([written[at] ^ data.draw(st.integers(1, 255))]) + written[at + 1 :]
        case _:
            damaged = written[:at] + written[at + 1 :]
    try:
        result = deploy_key.decrypt_deploy_key(damaged, b"password")
    except (KeyFileInvalid, WrongPassword):
        pass
    else:  # CBC has no integrity: a flip in the middle garbles a block; what is no space for base64 changed nothing
        assert result.startswith(KEY_HEAD.rstrip())


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
    ],
)
def test_what_is_no_key_file_says_how_to_make_one(data, text):
    with pytest.raises(KeyFileInvalid, match=text) as raised:
        deploy_key.decrypt(data, b"password")
    assert "openssl enc -aes-256-cbc -a -salt -pbkdf2" in str(raised.value)


def test_a_public_key_in_the_key_file_is_told_from_a_wrong_password():
    written = deploy_key.encrypt(b"ssh-ed25519 AAAA admin\n", b"password")

    with pytest.raises(KeyFileInvalid, match=r"without \.pub"):
        deploy_key.decrypt_deploy_key(written, b"password")


@pytest.mark.parametrize("damage", [b"\0", b"\xff"])
def test_a_private_key_that_is_no_text_is_damaged(damage):
    written = deploy_key.encrypt(KEY_HEAD + damage, b"password")

    with pytest.raises(KeyFileInvalid, match="damaged"):
        deploy_key.decrypt_deploy_key(written, b"password")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("ed25519", []),
        ("ecdsa", []),
        ("ecdsa", ["-m", "PEM"]),
        ("ecdsa", ["-m", "PKCS8"]),
        ("rsa", []),
        ("rsa", ["-m", "PEM"]),
        ("rsa", ["-m", "PKCS8"]),
    ],
)
def test_every_private_key_of_ssh_keygen_is_accepted_unless_it_has_a_passphrase(tmp_path, kind, form):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *form, "-N", "", "-f", key], check=True)
    private = key.read_bytes()
    assert deploy_key.decrypt_deploy_key(deploy_key.encrypt(private, b"password"), b"password") == private

    subprocess.run(["ssh-keygen", "-q", "-p", *form, "-N", "a passphrase", "-f", key], check=True, capture_output=True)
    with pytest.raises(KeyFileInvalid, match="passphrase of its own"):
        deploy_key.decrypt_deploy_key(deploy_key.encrypt(key.read_bytes(), b"password"), b"password")


def test_a_carriage_return_in_the_password_is_pointed_out():
    written = deploy_key.encrypt(KEY_HEAD, b"password")

    with pytest.raises(WrongPassword, match="carriage return"):
        deploy_key.decrypt(written, b"password\r")


def test_an_empty_password_is_pointed_out():
    with pytest.raises(WrongPassword, match="is empty"):
        deploy_key.decrypt(deploy_key.encrypt(KEY_HEAD, b"password"), b"")


def test_no_message_holds_the_password_or_the_payload():
    written = deploy_key.encrypt(b"secret payload", b"secret password")
    for password in (b"secret password", b"wrong password"):
        with pytest.raises((WrongPassword, KeyFileInvalid)) as raised:
            deploy_key.decrypt_deploy_key(written, password)
        assert "secret" not in str(raised.value)
        assert "wrong password" not in str(raised.value)


@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=80) | st.binary(min_size=1000, max_size=1100).map(lambda b: b[:1] * 1100))
def test_the_first_line_of_a_password_file_is_what_openssl_takes(place, data):
    (place / "file").write_bytes(data)
    command = ["openssl", "enc", "-aes-256-cbc", "-a", "-pbkdf2", "-pass", f"file:{place}/file"]
    done = subprocess.run(command, input=b"payload", capture_output=True, check=False)

    password = first_line(data)

    assert (password is None) == (done.returncode != 0)
    if password is not None:
        assert deploy_key.decrypt(done.stdout, password.get_secret_value()) == b"payload"


def test_a_generated_key_pair_is_one_that_openssh_takes(tmp_path):
    private, public = deploy_key.generate("nodes@cluster")
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "key").chmod(0o600)

    derived = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, check=True).stdout

    assert derived.split()[:2] == public.split()[:2]
    assert public.endswith(b" nodes@cluster\n")
