import base64
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.errors import KeyFileInvalid, WrongPassword
from nodeagent.source.secrets import container, deploy_key
from nodeagent.source.secrets.container import Derivation

passwords = st.binary(min_size=1, max_size=60)
payloads = st.binary(max_size=2000)
KEY_HEAD = b"-----BEGIN OPENSSH PRIVATE KEY-----\n"


@settings(max_examples=30, deadline=None)
@given(payload=payloads, password=passwords, wrong=passwords)
def test_a_wrong_password_never_yields_the_payload(payload, password, wrong):
    written = container.encrypt(KEY_HEAD + payload, password)
    if wrong == password:
        wrong += b"x"

    with pytest.raises(WrongPassword):
        deploy_key.decrypt_deploy_key(written, wrong)


def test_the_one_wrong_password_in_256_that_passes_the_padding_is_a_wrong_password():
    once = Derivation(iterations=1)  # the 5 ms of a derivation are not what this is about
    written = container.encrypt(KEY_HEAD + b"payload", b"password", once)
    noise = 0
    for number in range(5000):
        password = b"wrong %d" % number
        try:
            container.decrypt(written, password, once)
        except WrongPassword:
            continue
        noise += 1
        with pytest.raises(WrongPassword):
            deploy_key.decrypt_deploy_key(written, password, once)
    assert noise > 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_input_gives_one_of_the_two_errors(data):
    private, _ = deploy_key.generate("")
    written = container.encrypt(private, b"password")
    if data.draw(st.booleans()):
        written = base64.b64decode(written)
    at = data.draw(st.integers(0, len(written) - 1))
    match data.draw(st.sampled_from(["cut", "flip", "drop"])):
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
    else:  # CBC has no integrity: a flip in the last block may hit no more than what base64 does not read
        assert result.startswith(KEY_HEAD.rstrip())


def test_a_public_key_in_the_key_file_is_told_from_a_wrong_password():
    written = container.encrypt(b"ssh-ed25519 AAAA admin\n", b"password")

    with pytest.raises(KeyFileInvalid, match=r"without \.pub"):
        deploy_key.decrypt_deploy_key(written, b"password")


@pytest.mark.parametrize("damage", [b"\0", b"\xff"])
def test_a_private_key_that_is_no_text_is_damaged(damage):
    written = container.encrypt(KEY_HEAD + damage, b"password")

    with pytest.raises(KeyFileInvalid, match="damaged"):
        deploy_key.decrypt_deploy_key(written, b"password")


def test_no_message_holds_the_password_or_the_payload():
    written = container.encrypt(b"secret payload", b"secret password")
    for password in (b"secret password", b"wrong password"):
        with pytest.raises((WrongPassword, KeyFileInvalid)) as raised:
            deploy_key.decrypt_deploy_key(written, password)
        assert "secret" not in str(raised.value)
        assert "wrong password" not in str(raised.value)


def test_a_generated_key_pair_is_one_that_openssh_takes(tmp_path):
    private, public = deploy_key.generate("nodes@cluster")
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "key").chmod(0o600)

    derived = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, check=True).stdout

    assert derived.split()[:2] == public.split()[:2]
    assert public.endswith(b" nodes@cluster\n")
    assert deploy_key.decrypt_deploy_key(container.encrypt(private, b"password"), b"password") == private
