"""The way from a key file to a login: real openssl, ssh-keygen and sshd."""

import base64
import itertools
import json
import os
import signal
import subprocess  # noqa: TID251 - tests drive the real programs
import sys

import pytest

from nodeagent.cli import main
from nodeagent.model.events import Notice
from nodeagent.report import presence
from nodeagent.source.secrets import container

PLAN = {"post.sh": "#!/bin/sh\n"}
OPENSSH_FORM: tuple[str, ...] = ()
PEM, PKCS8 = ("-m", "PEM"), ("-m", "PKCS8")
KINDS = [
    (("-t", "ed25519"), OPENSSH_FORM),
    *((("-t", "ecdsa", "-b", bits), form) for bits in ("256", "384", "521") for form in (OPENSSH_FORM, PEM, PKCS8)),
    *((("-t", "rsa", "-b", "2048"), form) for form in (OPENSSH_FORM, PEM, PKCS8)),
]


def seal(site, private):
    site.key_file.write_bytes(container.encrypt(private, site.password_file.read_bytes().strip()))


def ed25519_in_pkcs8(site):
    """The site's deploy key in the form that OpenSSH does not write."""
    body = base64.b64decode(b"".join(site.key.read_bytes().splitlines()[1:-1]))
    public = base64.b64decode(site.key.with_suffix(".pub").read_text().split()[1])[-32:]
    seed = body[body.rindex(public) - 32 : body.rindex(public)]
    der = bytes.fromhex("302e020100300506032b657004220420") + seed  # RFC 8410, 7
    return subprocess.run(["openssl", "pkey", "-inform", "DER"], input=der, check=True, capture_output=True).stdout


@pytest.mark.parametrize(("kind", "form"), KINDS, ids=" ".join)
def test_every_kind_and_form_of_key_logs_in_with_lf_and_with_cr_lf(site, tmp_path, kind, form):
    commit = site.repository.commit(PLAN)
    key = tmp_path / "other_key"
    subprocess.run(["ssh-keygen", "-q", *kind, *form, "-N", "", "-f", key], check=True)
    site.server.authorize(key.with_suffix(".pub"))
    for data in (key.read_bytes(), key.read_bytes().replace(b"\n", b"\r\n")):
        seal(site, data)

        outcome, _ = site.poll()

        assert (outcome.commit, outcome.failure) == (commit, None)


def test_an_ed25519_key_in_pkcs8_logs_in(site):
    commit = site.repository.commit(PLAN)
    private = ed25519_in_pkcs8(site)
    assert private.startswith(b"-----BEGIN PRIVATE KEY-----")
    seal(site, private)

    outcome, _ = site.poll()

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_key_behind_the_parameters_of_its_curve_logs_in(site, tmp_path):
    commit = site.repository.commit(PLAN)
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", tmp_path / "key"]
    subprocess.run(command, check=True)
    (tmp_path / "key").chmod(0o600)
    public = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], check=True, capture_output=True).stdout
    (tmp_path / "key.pub").write_bytes(public)
    site.server.authorize(tmp_path / "key.pub")
    seal(site, (tmp_path / "key").read_bytes())

    outcome, _ = site.poll()

    assert (outcome.commit, outcome.failure) == (commit, None)


@pytest.mark.parametrize(
    "options", [["-a", "-iter", "5000"], ["-md", "sha512"], ["-a", "-iter", "3000", "-md", "sha512"]]
)
def test_a_key_file_of_other_rounds_or_digest_opens_as_configured(site, options):
    commit = site.repository.commit(PLAN)
    command = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", f"file:{site.password_file}", "-in", site.key]
    subprocess.run([*command, *options, "-out", site.key_file], check=True)
    settings = dict(itertools.pairwise(options))
    source = {"key_iterations": int(settings.get("-iter", 10_000)), "key_digest": settings.get("-md", "sha256")}

    outcome, _ = site.poll(site.config(source=source))

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_private_key_that_cannot_be_used_is_told_from_one_that_is_refused(site):
    site.repository.commit(PLAN)
    body = bytearray(base64.b64decode(b"".join(site.key.read_bytes().splitlines()[1:-1])))
    body[98] ^= 1  # the first of the two numbers by which OpenSSH knows that it has decrypted a key
    text = base64.encodebytes(body)
    seal(site, b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n")

    outcome, _ = site.poll()

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("KeyFileInvalid", False)
    assert "cannot be used" in outcome.failure.message


def test_a_key_that_is_a_systemd_credential_logs_in_without_a_password(site, memory):
    commit = site.repository.commit(PLAN)
    (memory / "nodeagent.key").touch(mode=0o400)
    (memory / "nodeagent.key").write_bytes(site.key.read_bytes())
    site.password_file.unlink()
    site.key_file.unlink()

    outcome, _ = site.poll(credentials=memory)

    assert (outcome.commit, outcome.failure) == (commit, None)
    assert not (site.memory / "run/private").exists()


def test_a_program_gives_the_password_once_for_many_polls(site, tmp_path):
    commit = site.repository.commit(PLAN)
    text = f"echo asked >>{tmp_path}/log; cat {site.password_file}"
    config = site.config(password={"file": site.memory / "none", "command": ("sh", "-c", text)})
    for _ in range(2):
        outcome, _ = site.poll(config)
        assert (outcome.commit, outcome.failure) == (commit, None)
    assert (tmp_path / "log").read_text() == "asked\n"


def test_a_program_that_fails_at_first_is_asked_again_in_the_same_poll(site, tmp_path):
    commit = site.repository.commit(PLAN)
    fail = f"touch {tmp_path}/up; echo the vault is sealed >&2; exit 2"
    text = f"test -e {tmp_path}/up || {{ {fail}; }}; cat {site.password_file}"
    config = site.config(password={"file": site.memory / "none", "command": ("sh", "-c", text)}, interval=20.0)

    outcome, events = site.poll(config)

    assert (outcome.commit, outcome.failure) == (commit, None)
    (told,) = events
    assert isinstance(told, Notice)
    assert told.code == "PasswordCommandFailed"
    assert "exited with code 2: the vault is sealed: is tried again" in told.text


def test_a_program_that_goes_on_failing_leaves_it_to_the_next_poll(site):
    config = site.config(password={"file": site.memory / "none", "command": ("false",)})

    outcome, _ = site.poll(config)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("PasswordCommandFailed", True)


# --- the command line, with a password of its own ---------------------------------------------------------------


@pytest.fixture
def node(site):
    """A site whose repository makes a file on a node that has no password."""
    site.password_file.rename(site.memory / "typed")
    site.repository.commit({"post.sh": f"#!/bin/sh\necho $1 >{site.directory}/made\n"})
    config = site.config()
    text = "\n".join(
        f"[{table}]\n" + "\n".join(f"{name} = {json.dumps(str(value))}" for name, value in values.items())
        for table, values in {
            "source": {
                name: getattr(config.source, name) for name in ("url", "key", "known_hosts", "checkout", "user")
            },
            "password": {"file": config.password.file},
            "paths": {name: getattr(config.paths, name) for name in ("state", "cache", "runtime")},
        }.items()
    )
    (site.directory / "nodeagent.toml").write_text(f'{text}\n[jobs]\nprobe = "none"\n')
    return site


def call(node, verb, *words):
    return main.call([verb, "--config", f"{node.directory}/nodeagent.toml", *map(str, words)])


@pytest.fixture
def typed(node, monkeypatch):
    """Make the password standard input."""
    with (node.memory / "typed").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("verb", ["apply", "adopt", "plan"])
def test_a_verb_takes_the_password_from_standard_input_and_keeps_no_key(node, verb):
    assert call(node, verb) == 1
    assert call(node, verb, "--password-file", "-") in {0, 2}
    assert (node.directory / "made").exists() == (verb != "plan")
    assert list((node.memory / "run/private").iterdir()) == []


def test_a_wrong_password_on_the_command_line_is_told_and_nothing_is_done(node, capfd):
    (node.memory / "typed").write_text("wrong\n")
    assert call(node, "apply", "--password-file", node.memory / "typed") == 1
    assert "the password does not open the key file" in capfd.readouterr().err
    assert not (node.directory / "made").exists()
    assert list((node.memory / "run/private").iterdir()) == []


def test_the_key_stays_for_a_daemon_that_is_there(node):
    node.config().paths.runtime.mkdir(mode=0o755)
    pid = os.fork()
    if pid == 0:
        with presence.claim(node.config().paths.runtime):
            signal.pause()
        os._exit(0)
    try:
        while presence.holder(node.config().paths.runtime) is None:
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        assert call(node, "apply", "--password-file", node.memory / "typed") == 0
        assert len(list((node.memory / "run/private").iterdir())) == 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert call(node, "apply") == 0
    assert list((node.memory / "run/private").iterdir()) == []


def test_a_password_for_a_directory_is_refused(node, capfd):
    assert main.call(["apply", "--repo", str(node.repository.work), "--password-file", "-"]) == 1
    assert "does not go with --repo" in capfd.readouterr().err
