"""Files of allowed signers, each line judged by ssh-keygen too: nothing is accepted that it would not accept."""

import calendar
import re
import subprocess  # noqa: TID251 - to make a revocation list
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.source.trust import allowed_signers, ssh_signature
from nodeagent.source.trust.allowed_signers import FileError

PAYLOAD = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nA commit\n"
NOW = "20260101120000Z"


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def principal(data, key, moment=NOW):
    """Who may sign for git with the key at the time; empty for nobody."""
    found = (s for s in allowed_signers.parse(data) if s.key == key and s.may_sign("git") and s.holds(seconds(moment)))
    return next((signer.principal for signer in found), "")


# A line (@ is the key's), and whom ssh-keygen lets sign by it; None: it lets nobody.
TABLE = [
    ("alice @", "alice"),
    ("alice@x.example,bob@x.example @", "alice@x.example"),
    ("alice @ a comment of several words", "alice"),
    ("  alice \t @  ", "alice"),
    ("# a comment\n\n   # another\nalice @\n", "alice"),
    ("alice @\r\n", "alice"),
    ('"alice" @', "alice"),
    ('"alice of x" @', "alice of x"),
    ("*@x.example @", "*@x.example"),
    ("*@x.example,!bob@x.example @", "*@x.example"),
    ("!bob,alice @", "alice"),
    ("!alice @", None),
    ("alice,!* @", None),
    ("alice,!a* @", None),
    ("al?ce @", "al?ce"),
    ('alice namespaces="git" @', "alice"),
    ('alice namespaces="file,git" @', "alice"),
    ('alice namespaces="file" @', None),
    ('alice namespaces="*" @', "alice"),
    ('alice namespaces="g?t" @', "alice"),
    ('alice namespaces="*,!git" @', None),
    ('alice namespaces="" @', None),
    ('alice namespaces="Git" @', None),
    ('alice NAMESPACES="git" @', "alice"),
    ('alice valid-after="20250101" @', "alice"),
    ('alice valid-after="20250101Z" @', "alice"),
    ('alice valid-after="20270101" @', None),
    ('alice valid-before="20250101" @', None),
    ('alice valid-before="20270101Z" @', "alice"),
    ('alice valid-after="202601011200Z" @', "alice"),
    ('alice valid-after="202601011201Z" @', None),
    ('alice valid-after="20260101120001Z" @', None),
    ('alice valid-before="20260101120000Z" @', "alice"),
    ('alice valid-before="20260101115959Z" @', None),
    ('alice valid-before="20260101115959" @', None),
    ('alice valid-after="20250101",valid-before="20270101" @', "alice"),
    ('alice namespaces="git",valid-after="20250101" @', "alice"),
    ('alice valid-before="20250101" @\nalice @', "alice"),
    ('alice namespaces="file" @\nalice namespaces="git" @', "alice"),
]

# What cannot be followed, and what is said of it. ssh-keygen refuses or passes over all of it.
UNSOUND = [
    ("", "names nobody"),
    ("# nobody\n", "names nobody"),
    ("alice", "line 1: principals, options, type and key"),
    ("\nalice ssh-ed25519", "line 2: a type and a key"),
    ("alice ssh-ed25519 !", "a type and a key"),
    ("alice ssh-ed25519 AAAA", "the key"),
    ("alice ssh-ed25519 AAAAB", "no base64"),
    ("alice ssh-rsa {ed25519}", "says ssh-rsa and is ssh-ed25519"),
    ("@", "names no principal: it comes before the key"),
    ('"alice @', "principals, options"),
    ('"" @', "names no principal"),
    ("alice cert-authority @", "cert-authority: certificates are not taken"),
    ('alice namespaces="git",Cert-Authority @', "cert-authority: certificates are not taken"),
    ('alice cert-authority="x" @', "cert-authority: takes no value"),
    ("alice ssh-ed25519-cert-v01@openssh.com AAAA", "certificates are not taken"),
    ("alice ssh-dss AAAA", "ssh-dss: keys of this type are not taken"),
    ("alice no-touch-required @", "no-touch-required is not known"),
    ('alice namespaces="git",namespaces="git" @', "namespaces: stands there twice"),
    ('alice namespaces="git", @', "neither an option nor a key"),
    ('alice namespaces="git"x @', "what is behind the option namespaces"),
    ("alice namespaces=git @", "namespaces: is written as"),
    ("alice namespaces @", "namespaces: is written as"),
    ('alice namespaces="git @', "namespaces: is written as"),
    ('alice namespaces="git" ', "type and a key|what is behind"),
    ('alice valid-after="tomorrow" @', "a time is needed"),
    ('alice valid-after="2026010" @', "a time is needed"),
    ('alice valid-after="20260230" @', "a time is needed"),
    ('alice valid-after="20261301" @', "a time is needed"),
    ('alice valid-after="202601011260" @', "a time is needed"),
    ('alice valid-after="20270101",valid-before="20260101" @', "valid-before is not after valid-after"),
    ("alice ssh-rsa {rsa1024}", "fewer than 2048 bits"),
    ("alice \xff @", "neither an option"),
    ("alice\0 @", "line 1: has a control character"),
    ("alice,\r!bob @", "line 1: has a control character"),
    ("\ralice @", "line 1: has a control character"),
    ('alice valid-after="00250101Z" @', "a time is needed"),
    ('alice valid-after="19691231Z" @', "a time is needed"),
]


def filled(text, ssh_keys):
    for name, key in ssh_keys.items():
        text = text.replace(f"{{{name}}}", key.line.split()[1])
    return re.sub("(?<![^ \n])@(?![^ \r\n])", ssh_keys["ed25519"].line, text).encode()


@pytest.fixture(scope="module")
def signed(ssh_keys):
    """A signature, and the key that made it."""
    signature = ssh_keys["ed25519"].sign(PAYLOAD)
    return signature, ssh_signature.verify(signature, PAYLOAD)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("line", "expected"), TABLE)
def test_a_line_lets_sign_whom_ssh_keygen_lets(ssh_keys, oracle, signed, line, expected):
    data = filled(line, ssh_keys)
    signature, key = signed

    assert principal(data, key) == (expected or "")

    asked = expected or "alice"
    assert oracle.accepts(data, signature, PAYLOAD, principal=asked, moment=NOW) == (expected is not None)


@pytest.mark.parametrize(("line", "said"), UNSOUND)
def test_a_line_that_cannot_be_followed_is_refused_by_its_number(ssh_keys, line, said):
    with pytest.raises(FileError, match=said):
        allowed_signers.parse(filled(line, ssh_keys))


def test_a_file_that_is_no_text_is_refused():
    with pytest.raises(FileError, match="no text"):
        allowed_signers.parse(b"alice \xff\xfe")


def test_a_time_without_a_zone_is_the_nodes_own(ssh_keys, signed, monkeypatch):
    line = filled('alice valid-after="202601011300" @', ssh_keys)
    assert principal(line, signed[1]) == ""

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()

    assert principal(line, signed[1]) == "alice"


def test_a_key_is_taken_in_one_form_of_base64_only(ssh_keys):
    kind, text = ssh_keys["nistp384"].line.split()
    assert text.endswith("==")
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = text[:-3] + other[other.index(text[-3]) ^ 1] + "=="

    with pytest.raises(FileError, match="in a form that nobody writes"):
        allowed_signers.parse(f"alice {kind} {changed}".encode())


def test_another_key_lets_nobody_sign(ssh_keys, signed):
    assert principal(f"alice {ssh_keys['nistp256'].line}".encode(), signed[1]) == ""


def test_keys_of_every_kind_are_read(ssh_keys):
    lines = [f"a {key.line}\n" for name, key in ssh_keys.items() if name != "rsa1024"]

    found = allowed_signers.parse("".join(lines).encode())

    assert [signer.key.kind for signer in found] == [line.split()[1] for line in lines]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_of_the_file_lets_anybody_sign_whom_ssh_keygen_does_not(ssh_keys, oracle, signed, data):
    line = data.draw(st.sampled_from([line for line, _ in TABLE]))
    changed = bytearray(filled(line, ssh_keys))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    signature, key = signed
    try:
        found = principal(bytes(changed), key)
    except FileError:
        return
    if found:
        assert oracle.accepts(bytes(changed), signature, PAYLOAD, principal=found, moment=NOW)


# --- revoked keys ----------------------------------------------------------------------------------------------


def test_a_list_of_revoked_keys_is_read(ssh_keys, oracle, signed):
    line = ssh_keys["ed25519"].line
    data = f"# lost\n{line} alice's\n\n{ssh_keys['rsa1024'].line}\n".encode()

    assert signed[1] in allowed_signers.parse_revoked(data)

    allowed = f"alice {line}".encode()
    assert not oracle.accepts(allowed, signed[0], PAYLOAD, principal="alice", moment=NOW, revoked=data)


def test_an_empty_list_revokes_nothing():
    assert not allowed_signers.parse_revoked(b"# none\n")


def test_a_binary_revocation_list_is_refused_with_what_to_do(ssh_keys, tmp_path):
    command = ["ssh-keygen", "-q", "-k", "-f", tmp_path / "krl", f"{ssh_keys['ed25519'].path}.pub"]
    subprocess.run(command, check=True)

    with pytest.raises(FileError, match="the public keys themselves, one a line"):
        allowed_signers.parse_revoked((tmp_path / "krl").read_bytes())


@pytest.mark.parametrize("line", ["alice {}", "ssh-ed25519", "ssh-dss AAAA", "SHA256:abc"])
def test_a_list_with_a_line_that_is_no_key_is_refused(ssh_keys, line):
    with pytest.raises(FileError, match="line 1"):
        allowed_signers.parse_revoked(line.format(ssh_keys["ed25519"].line).encode())
