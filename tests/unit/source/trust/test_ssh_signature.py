"""SSH signatures: made by ssh-keygen, or in its format, and judged as ssh-keygen judges them."""

import base64
import struct
import subprocess  # noqa: TID251 - to ask ssh-keygen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.source.trust import ssh_key, ssh_signature
from nodeagent.source.trust.ssh_key import UnsoundError

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nA commit\n"
MOMENT = "20260101Z"
GOOD = (
    "ed25519",
    "nistp256",
    "nistp384",
    "nistp521",
    "rsa2048",
    "rsa3072",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def dearmored(signature):
    return base64.b64decode(b"".join(signature.split(b"\n")[1:-2]))


def armored(data):
    return b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(data) + b"\n-----END SSH SIGNATURE-----\n"


def string(data):
    return struct.pack(">I", len(data)) + data


def fields(signature):
    """Key, namespace, reserved, hash and signature out of a container."""
    data, found = dearmored(signature)[10:], []
    while data:
        (length,) = struct.unpack_from(">I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def container(*parts, version=1, rest=b""):
    return armored(b"SSHSIG" + struct.pack(">I", version) + b"".join(map(string, parts)) + rest)


@pytest.mark.parametrize("name", GOOD)
def test_a_signature_verifies_and_names_its_key_as_ssh_keygen_does(ssh_keys, oracle, name):
    key = ssh_keys[name]
    signature = key.sign(PAYLOAD)
    assert oracle.accepts(b"a " + key.line.encode(), signature, PAYLOAD, principal="a", moment=MOMENT)

    found = ssh_signature.verify(signature, PAYLOAD)

    assert f"{found.kind} {base64.b64encode(found.blob).decode()}" == key.line
    with pytest.raises(UnsoundError, match="not of this key and this content"):
        ssh_signature.verify(signature, PAYLOAD + b"\n")


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_both_hashes_of_the_format_are_taken(ssh_keys, digest):
    ssh_signature.verify(ssh_keys["ed25519"].sign(PAYLOAD, "git", f"-Ohashalg={digest}"), PAYLOAD)


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(ssh_keys):
    found = ssh_signature.verify(ssh_keys["nistp384"].sign(PAYLOAD), PAYLOAD)

    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{ssh_keys['nistp384'].path}.pub"], check=True, capture_output=True, text=True
    )
    assert found.fingerprint == said.stdout.split()[1]


def test_a_signature_for_something_else_than_git_is_refused(ssh_keys):
    with pytest.raises(UnsoundError, match="namespace 'file'"):
        ssh_signature.verify(ssh_keys["ed25519"].sign(PAYLOAD, "file"), PAYLOAD)


def test_an_rsa_key_of_1024_bits_is_refused(ssh_keys):
    with pytest.raises(UnsoundError, match="fewer than 2048 bits"):
        ssh_signature.verify(ssh_keys["rsa1024"].sign(PAYLOAD), PAYLOAD)


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("sk-")])
def test_a_security_key_must_have_been_touched(ssh_keys, name):
    with pytest.raises(UnsoundError, match="nobody touched"):
        ssh_signature.verify(ssh_keys[name].sign(PAYLOAD, flags=4), PAYLOAD)


def test_rsa_with_sha1_is_refused(ssh_keys):
    key, *rest, signature = fields(ssh_keys["rsa2048"].sign(PAYLOAD))
    changed = signature.replace(string(b"rsa-sha2-512"), string(b"ssh-rsa"))

    with pytest.raises(UnsoundError, match=r"not taken \('ssh-rsa'\)"):
        ssh_signature.verify(container(key, *rest, changed), PAYLOAD)


@pytest.mark.parametrize("kind", [b"ssh-dss", b"ssh-ed25519-cert-v01@openssh.com", b"", b"\xff"])
def test_other_kinds_of_keys_are_refused(ssh_keys, kind):
    _, *rest = fields(ssh_keys["ed25519"].sign(PAYLOAD))

    with pytest.raises(UnsoundError, match="a type that is not taken"):
        ssh_signature.verify(container(string(kind) + string(b"x" * 32), *rest), PAYLOAD)


def test_a_container_that_is_not_quite_one_is_refused(ssh_keys):
    signature = ssh_keys["ed25519"].sign(PAYLOAD)
    key, namespace, _, digest, value = fields(signature)
    ssh_signature.verify(container(key, namespace, b"", digest, value), PAYLOAD)

    for wrong in (
        container(key, namespace, b"", digest, value, version=2),
        container(key, namespace, b"", digest, value, rest=b"\0"),
        container(key, namespace, b"x", digest, value),
        container(key, namespace, b"", b"sha1", value),
        container(key, namespace, b"", digest, value + b"\0"),
        container(key + b"\0", namespace, b"", digest, value),
        container(key, namespace, b"", digest),
        armored(b"SSHSIG"),
        armored(b""),
        signature + b"more",
        signature.rstrip(b"-\n"),
        signature.replace(b"\n", b"\r\n"),
        b"-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----\n",
        b"",
    ):
        with pytest.raises(UnsoundError):
            ssh_signature.verify(wrong, PAYLOAD)


@pytest.mark.parametrize("name", GOOD)
def test_a_signature_with_another_kind_of_algorithm_than_its_key_is_refused(ssh_keys, name):
    other = next(key for kind, key in ssh_keys.items() if kind[:3] != name[:3] and kind in GOOD)
    key, *rest = fields(ssh_keys[name].sign(PAYLOAD))
    *_, value = fields(other.sign(PAYLOAD))

    with pytest.raises(UnsoundError):
        ssh_signature.verify(container(key, *rest[:-1], value), PAYLOAD)


def test_keys_are_taken_in_one_form_only(ssh_keys):
    (_, modulus) = fields_of_key(ssh_keys["rsa2048"])[1:]
    (_, curve, point) = fields_of_key(ssh_keys["nistp256"])
    compressed = bytes([2 + point[-1] % 2]) + point[1:33]
    rsa, ecdsa, ed25519 = b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ssh-ed25519"
    for blob in (
        b"".join(map(string, (rsa, b"\0\1\0\1", modulus))),
        b"".join(map(string, (rsa, b"\1\0\1", b"\0" + modulus))),
        b"".join(map(string, (rsa, b"", modulus))),
        b"".join(map(string, (rsa, b"\1\0\1", b"\0" + b"\xff" * 4096))),
        b"".join(map(string, (rsa, b"\2", modulus))),
        b"".join(map(string, (ecdsa, curve, compressed))),
        b"".join(map(string, (ecdsa, curve, b"\0"))),
        b"".join(map(string, (ecdsa, curve, point[:-1] + bytes([point[-1] ^ 1])))),
        b"".join(map(string, (ecdsa, b"nistp384", point))),
        b"".join(map(string, (ed25519, b"x" * 31))),
    ):
        with pytest.raises(UnsoundError):
            ssh_key.read(blob)


def fields_of_key(key):
    data, found = base64.b64decode(key.line.split()[1]), []
    while data:
        (length,) = struct.unpack_from(">I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


_made: dict[str, bytes] = {}


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_is_accepted_unless_ssh_keygen_accepts_it_too(ssh_keys, oracle, name, data):
    key = ssh_keys[name]
    payload, signature = PAYLOAD, _made.get(name) or key.sign(PAYLOAD)
    _made[name] = signature
    which = data.draw(st.sampled_from(["armor", "container", "payload"]))
    target = {"armor": signature, "container": dearmored(signature), "payload": payload}[which]
    at = data.draw(st.integers(0, len(target) - 1))
    changed = bytearray(target)
    changed[at] ^= data.draw(st.integers(1, 255))
    if which == "payload":
        payload = bytes(changed)
    else:
        signature = bytes(changed) if which == "armor" else armored(bytes(changed))
    try:
        found = ssh_signature.verify(signature, payload)
    except UnsoundError:
        return
    assert f"{found.kind} {base64.b64encode(found.blob).decode()}" == key.line
    assert oracle.accepts(b"a " + key.line.encode(), signature, payload, principal="a", moment=MOMENT)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    for wrong in (noise, armored(noise), container(noise, b"git", b"", b"sha256", noise)):
        with pytest.raises(UnsoundError):
            ssh_signature.verify(wrong, PAYLOAD)
