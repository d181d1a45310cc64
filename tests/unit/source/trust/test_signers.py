"""Who may sign, put together from the files; with real revisions: tests/integration/test_source_signatures.py."""

import subprocess  # noqa: TID251 - a process that has loaded nothing yet
import sys

import pytest

from nodeagent.config import Config
from nodeagent.errors import InvalidConfiguration, RevisionRejected, SignatureInvalid, SignatureMissing
from nodeagent.source.trust import signers
from nodeagent.source.trust.signers import Signers

COMMIT = "1" * 40
HEAD = b"tree 2\ncommitter a <b> 1 +0000\n"


@pytest.fixture
def configured(tmp_path, ssh_keys):
    allowed = tmp_path / "allowed"
    allowed.write_text(f"alice {ssh_keys['ed25519'].line}\n")
    return lambda **more: Config.model_validate(
        {"source": {"url": "git@host:repo"}, "signatures": {"allowed_signers": allowed, **more}}
    )


def tag(ssh_keys, *, oid=COMMIT, kind="commit", name="v1"):
    payload = f"object {oid}\ntype {kind}\ntag {name}\ntagger a <b> 1 +0000\n\nRelease\n".encode()
    return payload + ssh_keys["ed25519"].sign(payload)


def test_a_tag_counts_for_the_commit_and_the_name_that_it_was_signed_with_only(configured, ssh_keys):
    found = Signers.load(configured())

    for ref in ("v1", "refs/tags/v1"):
        assert found.judge(ref, COMMIT, b"not signed", tag(ssh_keys)).signer == "alice"
    for wrong in (tag(ssh_keys, oid="2" * 40), tag(ssh_keys, kind="tree"), tag(ssh_keys, name="v2")):
        with pytest.raises(RevisionRejected):
            found.judge("v1", COMMIT, b"not signed", wrong)


def test_a_signature_in_a_form_that_is_not_taken_is_invalid_and_none_is_missing(configured):
    found = Signers.load(configured())

    with pytest.raises(SignatureMissing):
        found.judge("main", COMMIT, HEAD + b"\nmessage", b"")
    for begin in (b"SIGNED MESSAGE", b"PGP MESSAGE", b"SSH SIGNATURE"):
        armored = b"gpgsig -----BEGIN " + begin + b"-----\n x\n -----END " + begin + b"-----\n"
        with pytest.raises(SignatureInvalid):
            found.judge("main", COMMIT, HEAD + armored + b"\nmessage", b"")


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"", "it is empty"), (b"x" * 100, "more than")])
def test_a_keyring_that_cannot_be_read_is_told_by_its_key_and_path(configured, tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(signers, "_LONGEST_FILE", 90)
    (tmp_path / "allowed").unlink()
    keyring = tmp_path / "keyring"
    if content is not None:
        keyring.write_bytes(content)

    with pytest.raises(InvalidConfiguration, match=rf"signatures\.openpgp_keyring: .*keyring: .*{said}"):
        Signers.load(configured(allowed_signers=None, openpgp_keyring=keyring))


def test_nothing_of_it_is_loaded_where_no_signature_is_demanded():
    text = (
        "import sys, nodeagent.reconcile, nodeagent.source.check, nodeagent.cli.check_config\n"
        "print([name for name in sys.modules if name.startswith('nodeagent.source.trust.')])"
    )
    loaded = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout

    assert "history" in loaded
    assert not any(name in loaded for name in ("signers", "ssh_key", "gpgv", "openpgp", "signed"))
