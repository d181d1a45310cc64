"""``[signatures]`` against a real server, git, ssh-keygen, gpg and gpgv: only what is rightly signed arrives."""

import shutil
import subprocess  # noqa: TID251 - tests drive the real programs
import tempfile
import threading
from pathlib import Path

import pytest

from nodeagent import reconcile
from nodeagent.cli import main
from nodeagent.cli.run import plan_of
from nodeagent.ledger import watch
from nodeagent.model.events import Notice
from nodeagent.node import boot_id
from nodeagent.situation import Wishes
from nodeagent.source.poll import store_path
from nodeagent.source.trust import clock
from nodeagent.workers import worker

GNUPG = ("gpg", "gpgv", "gpg-agent", "gpgconf")


class Recorder:
    def __init__(self):
        self.events = []

    def report(self, event):
        self.events.append(event)


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


class Node:
    """A node that takes what the SSH keys of its allowed_signers have signed, and they themselves."""

    def __init__(self, site):
        self.site = site
        self.directory = site.directory
        self.target = site.directory / "motd"
        self.allowed = site.directory / "allowed_signers"
        self.signatures = {"allowed_signers": self.allowed}
        self.source = {}
        self.ref = "main"
        self.known = ""
        self.message = ""
        self.told = []
        self.alice = self.key("alice")
        self.allow(f"alice@cluster.example {public(self.alice)}")

    def key(self, name, kind="ed25519"):
        path = self.directory / f"{name}.key"
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", path)
        return path

    def allow(self, *lines):
        self.allowed.write_text("".join(f"{line}\n" for line in lines))

    @property
    def config(self):
        return self.site.config(
            source={"ref": self.ref, **self.source}, signatures=self.signatures, first_start="apply"
        )

    def plan(self, text):
        body = f'#!/bin/sh\nCOPY() {{ rsync -a "$1" "$2"; }}\nCOPY files/motd {self.target}\n'
        return {"post.sh": body, "files/motd": text}

    def push(self, text, key=None, *, branch="main", options=()):
        """Commit and push; signed with an SSH key if there is one."""
        repository = self.site.repository
        repository.write(self.plan(text))
        repository.git("add", "--all")
        repository.git(
            *signing(key), *options, "commit", "-q", "-m", f"Say {text}", *(["-S"] if key or options else [])
        )
        repository.push(branch)
        return repository.head

    def tag(self, name, key=None, commit="HEAD", push=""):
        how = ["-s"] if key else ["-a"]
        self.site.repository.git(*signing(key), "tag", "-f", *how, "-m", f"Release {name}", name, commit)
        self.site.repository.git("push", "-q", "--force", self.site.repository.bare, push or f"refs/tags/{name}")

    def cycle(self, **wishes):
        """What the daemon's two workers do; the failure's code, or empty."""
        config = self.config

        def look(reporter, stop):
            return reconcile.poll(config, self.known, stop, reporter)

        found = worker.run("poll", look, Recorder(), time_limit=30)
        self.known = found.commit or self.known
        recorder = Recorder()
        done = reconcile.apply_cycle(config, found.commit, threading.Event(), recorder, Wishes(**wishes))
        self.told = [event.text for event in recorder.events if isinstance(event, Notice)]
        failure = found.failure or done.failure
        self.message = failure.message if failure else ""
        self.transient = failure.transient if failure else None
        return failure.code if failure else ""


def signing(key):
    return ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"] if key else []


def public(key):
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def fingerprint(key):
    return run("ssh-keygen", "-l", "-f", f"{key}.pub").split()[1]


@pytest.fixture
def node(site):
    return Node(site)


@pytest.fixture
def keyring():
    """A GNUPGHOME, at a path that is short enough for its agent's socket."""
    if missing := [name for name in GNUPG if shutil.which(name) is None]:
        pytest.skip(f"needs {missing[0]}")
    home = Path(tempfile.mkdtemp(prefix="gnupg-", dir="/tmp"))
    home.chmod(0o700)
    yield Keyring(home)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(home)


class Keyring:
    def __init__(self, home):
        self.home = home
        self.program = home / "sign"
        self.program.write_text(f'#!/bin/sh\nexec gpg --homedir {home} --no-options "$@"\n')
        self.program.chmod(0o755)

    def gpg(self, *arguments, **options):
        command = ["gpg", "--homedir", self.home, "--batch", "--quiet", "--passphrase", "", "--yes", *arguments]
        return run(*command, **options)

    def signing(self, user):
        return ["-c", f"gpg.program={self.program}", "-c", f"user.signingkey={user}"]

    def export(self, path):
        self.gpg("--output", path, "--export")


# --- commits signed with SSH keys ------------------------------------------------------------------------------


def test_a_signed_commit_is_applied_and_the_journal_names_who_signed_it_with_which_key(node):
    commit = node.push("one", node.alice)

    assert node.cycle() == ""

    assert node.target.read_text() == "one"
    assert f"commit {commit} is signed by alice@cluster.example (ssh-ed25519 {fingerprint(node.alice)})" in node.told


def test_an_unsigned_commit_is_refused_and_the_node_keeps_what_it_has(node):
    node.push("one", node.alice)
    node.cycle()
    node.push("two")

    assert node.cycle() == "SignatureMissing"

    assert "git commit -S" in node.message
    assert not node.transient
    assert node.target.read_text() == "one"
    assert (node.config.source.checkout / "files/motd").read_text() == "one"


def test_what_is_on_the_node_drifts_back_while_the_new_commit_is_refused(node):
    node.push("one", node.alice)
    node.cycle()
    node.push("two")
    node.target.write_text("edited")

    assert node.cycle() == "SignatureMissing"

    assert node.target.read_text() == "one"


def test_a_signed_commit_on_top_of_unsigned_ones_covers_them(node):
    node.push("one", node.alice)
    node.cycle()
    node.push("two")
    node.push("three", node.alice)

    assert node.cycle() == ""

    assert node.target.read_text() == "three"


def test_a_signed_merge_of_a_signed_tag_is_taken(node):
    node.push("one", node.alice)
    repository = node.site.repository
    repository.git("checkout", "-q", "-b", "side")
    repository.git("commit", "-q", "--allow-empty", "-m", "Side")
    repository.git(*signing(node.alice), "tag", "-s", "-m", "Side", "side-1")
    repository.git("checkout", "-q", "main")
    repository.git(*signing(node.alice), "merge", "-q", "--no-ff", "-S", "-m", "Merge", "side-1")
    assert "\nmergetag " in repository.git("cat-file", "commit", "HEAD")
    repository.push()

    assert node.cycle() == ""


def test_a_key_that_is_not_allowed_is_refused(node):
    mallory = node.key("mallory")
    node.push("one", mallory)

    assert node.cycle() == "SignerUnknown"

    assert fingerprint(mallory) in node.message
    assert not node.target.exists()


def test_a_commit_that_was_refused_is_taken_once_its_signer_is_allowed(node):
    bob = node.key("bob")
    node.push("one", bob)
    assert node.cycle() == "SignerUnknown"
    node.allow(f"alice@cluster.example {public(node.alice)}", f"bob@cluster.example {public(bob)}")

    assert node.cycle() == ""

    assert any("is signed by bob@cluster.example" in text for text in node.told)


def test_a_revoked_key_is_refused_though_it_is_allowed(node):
    revoked = node.directory / "revoked"
    revoked.write_text(f"# lost\n{public(node.alice)}\n")
    node.signatures["revoked_signers"] = revoked
    node.push("one", node.alice)

    assert node.cycle() == "SignerRevoked"

    assert "revoked_signers" in node.message


def test_a_key_that_was_not_valid_at_the_commits_date_is_refused_for_good(node):
    node.allow(f'alice@cluster.example valid-before="20200101Z" {public(node.alice)}')
    node.push("one", node.alice)

    assert node.cycle() == "SignerExpired"

    assert not node.transient  # the commit says when it was made: the node's clock has no part in it


def test_a_signature_of_another_commit_is_refused(node):
    node.push("one", node.alice)
    repository = node.site.repository
    content = subprocess.run(
        ["git", "-C", repository.work, "cat-file", "commit", "HEAD"], check=True, capture_output=True
    ).stdout
    forged = content.replace(b"Say one", b"Say two")
    made = subprocess.run(
        ["git", "-C", repository.work, "hash-object", "-t", "commit", "-w", "--stdin"],
        input=forged,
        check=True,
        capture_output=True,
    )
    repository.git("update-ref", "refs/heads/main", made.stdout.decode().strip())
    repository.push()

    assert node.cycle() == "SignatureInvalid"

    assert not node.target.exists()


def test_what_a_node_was_given_before_signatures_were_demanded_stays_enforced(node):
    signatures, node.signatures = node.signatures, {}
    node.push("one")
    assert node.cycle() == ""
    node.signatures = signatures
    node.target.write_text("edited")

    assert node.cycle(force=True) == ""

    assert node.target.read_text() == "one"


def test_accept_does_not_stand_in_for_a_signature(node):
    node.push("one", node.alice)
    node.cycle()
    repository = node.site.repository
    repository.git("checkout", "-q", "--orphan", "new")
    commit = node.push("other")
    assert node.cycle() == "NonFastForward"
    file = configuration(node)

    assert main.call(["accept", "--config", str(file), commit, "--reason", "meant", "--yes"]) == 0

    assert node.cycle() == "SignatureMissing"
    assert node.target.read_text() == "one"


def test_a_commit_that_the_configuration_itself_names_must_be_signed_too(node):
    node.ref = node.push("one")
    assert node.cycle() == "SignatureMissing"

    node.ref = node.push("two", node.alice)

    assert node.cycle() == ""


@pytest.mark.parametrize("text", ["", "alice\n", "alice ssh-ed25519 AAAA\n", "alice cert-authority {}\n"])
def test_a_file_of_signers_that_cannot_be_followed_lets_nothing_in(node, text):
    node.push("one", node.alice)
    node.allowed.write_text(text.format(public(node.alice)))

    assert node.cycle() == "InvalidConfiguration"

    assert str(node.allowed) in node.message
    assert not node.target.exists()


# --- tags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1"])
def test_a_signed_tag_lets_its_commit_in_and_is_named(node, ref):
    commit = node.push("one")
    node.tag("v1", node.alice)
    node.ref = ref

    assert node.cycle() == ""

    assert node.target.read_text() == "one"
    expected = f"tag {ref} of commit {commit} is signed by alice@cluster.example"
    assert any(text.startswith(expected) for text in node.told)


def test_an_annotated_tag_that_is_not_signed_is_refused_though_its_commit_is(node):
    node.push("one", node.alice)
    node.tag("v1")
    node.ref = "v1"

    assert node.cycle() == "SignatureMissing"

    assert "git tag -s" in node.message


def test_a_lightweight_tag_is_worth_what_its_commit_is(node):
    node.push("one", node.alice)
    node.site.repository.git("tag", "v1")
    node.push("two")
    node.site.repository.git("tag", "v2")
    node.site.repository.git("push", "-q", node.site.repository.bare, "v1", "v2")

    node.ref = "v1"
    assert node.cycle() == ""
    node.ref = "v2"
    assert node.cycle() == "SignatureMissing"


def test_a_tag_that_is_signed_anew_on_the_same_commit_is_seen(node):
    node.push("one")
    node.tag("v1")
    node.ref = "v1"
    assert node.cycle() == "SignatureMissing"
    node.tag("v1", node.alice)

    assert node.cycle() == ""

    assert node.target.read_text() == "one"


def test_a_signed_tag_under_another_tags_name_is_refused(node):
    node.push("one")
    node.tag("old", node.alice)
    node.site.repository.git("push", "-q", node.site.repository.bare, "refs/tags/old:refs/tags/v1")
    node.ref = "v1"

    assert node.cycle() == "RevisionRejected"

    assert "signed as old" in node.message


def test_a_signed_tag_of_a_tag_is_refused(node):
    node.push("one")
    node.tag("inner", node.alice)
    node.tag("v1", node.alice, commit="inner")
    node.ref = "v1"

    assert node.cycle() == "RevisionRejected"

    assert "tag the commit itself" in node.message


@pytest.mark.parametrize(("ref", "key"), [("main", True), ("v1", False)])
def test_a_bundle_is_taken_for_what_is_signed_in_it(node, ref, key):
    bundle = node.directory / "configs.bundle"
    node.source, node.ref = {"url": str(bundle)}, ref

    def write():
        node.site.repository.git("bundle", "create", "-q", bundle, "main", *(["v1"] if ref == "v1" else []))
        bundle.chmod(0o644)

    node.push("one")
    if ref == "v1":
        node.tag("v1")
    write()
    assert node.cycle() == "SignatureMissing"

    node.push("two", node.alice if key else None)
    if ref == "v1":
        node.tag("v1", node.alice)
    write()

    assert node.cycle() == "", node.message
    assert node.target.read_text() == "two"


def test_the_tag_is_still_there_when_the_store_was_made_small_and_the_node_begins_anew(node):
    node.push("one")
    node.push("two")
    node.tag("v1", node.alice)
    node.ref = "v1"
    assert node.cycle() == ""
    size = store_path(node.config) / "nodeagent-fresh"
    size.write_text("1")  # as if it had been so small when it was fresh
    assert node.cycle() == ""
    assert size.read_text() != "1"
    node.site.server.stop()
    for forgotten in (node.config.source.checkout, node.config.paths.state):
        shutil.rmtree(forgotten)

    node.cycle()

    assert node.target.read_text() == "two"
    assert any(text.startswith("tag v1 of") for text in node.told)


# --- OpenPGP ---------------------------------------------------------------------------------------------------


@pytest.fixture
def openpgp(node, keyring):
    """The node, which takes what keys of a keyring sign; only root can read that."""
    node.gnupg = keyring
    node.file = node.directory / "keyring.gpg"
    node.signatures = {"openpgp_keyring": node.file}

    def generate(user, kind="ed25519", until="never", *options):
        keyring.gpg(*options, "--quick-gen-key", user, kind, "sign", until)
        keyring.export(node.file)
        node.file.chmod(0o400)

    node.generate = generate
    return node


def gpg_push(node, text, user):
    return node.push(text, options=node.gnupg.signing(user))


@pytest.mark.parametrize("kind", ["ed25519", "rsa3072", "nistp256"])
def test_a_commit_signed_with_an_openpgp_key_is_applied_and_its_owner_is_named(openpgp, kind):
    openpgp.generate("Alice <alice@cluster.example>", kind)
    commit = gpg_push(openpgp, "one", "alice@cluster.example")

    assert openpgp.cycle() == "", openpgp.message

    assert openpgp.target.read_text() == "one"
    (told,) = (text for text in openpgp.told if "is signed by" in text)
    listed = openpgp.gnupg.gpg("--with-colons", "--list-keys")
    primary = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    assert told.startswith(f"commit {commit} is signed by Alice <alice@cluster.example> (OpenPGP ")
    assert told.endswith(f" {primary})")


def test_an_openpgp_key_that_is_not_in_the_keyring_is_refused(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    openpgp.gnupg.gpg("--quick-gen-key", "Mallory <m@example.com>", "ed25519", "sign", "never")
    gpg_push(openpgp, "one", "m@example.com")

    assert openpgp.cycle() == "SignerUnknown"

    assert "openpgp_keyring" in openpgp.message


def test_openpgp_signatures_count_for_nothing_without_a_keyring(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    gpg_push(openpgp, "one", "alice@cluster.example")
    openpgp.signatures = {"allowed_signers": openpgp.allowed}

    assert openpgp.cycle() == "SignerUnknown"


def test_ssh_signatures_count_for_nothing_without_allowed_signers(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    openpgp.push("one", openpgp.alice)

    assert openpgp.cycle() == "SignerUnknown"


def test_a_signed_tag_of_openpgp_lets_its_commit_in(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    openpgp.push("one")
    repository = openpgp.site.repository
    repository.git(*openpgp.gnupg.signing("alice@cluster.example"), "tag", "-s", "-m", "Release", "v1")
    repository.git("push", "-q", repository.bare, "v1")
    openpgp.ref = "v1"

    assert openpgp.cycle() == "", openpgp.message

    assert openpgp.target.read_text() == "one"


def test_a_subkey_signs_for_its_primary_key(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    listed = openpgp.gnupg.gpg("--with-colons", "--list-keys")
    primary = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
    openpgp.gnupg.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
    openpgp.file.unlink()
    openpgp.gnupg.export(openpgp.file)
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert openpgp.cycle() == "", openpgp.message

    assert any(text.endswith(f" {primary})") for text in openpgp.told)


EXPIRED = ("--faked-system-time", "20200101T000000")


@pytest.mark.parametrize(
    ("synchronised", "code", "transient"),
    [(True, "SignerExpired", False), (False, "ClockNotSynchronised", True)],
)
def test_an_expired_openpgp_key_is_refused_for_good_only_when_the_clock_is_known(
    openpgp, monkeypatch, synchronised, code, transient
):
    monkeypatch.setattr(clock, "is_synchronised", lambda: synchronised)  # nobody may set this machine's clock
    openpgp.generate("Alice <alice@cluster.example>", "ed25519", "20210101T000000", *EXPIRED)
    openpgp.gnupg.program.write_text(
        f'#!/bin/sh\nexec gpg --homedir {openpgp.gnupg.home} --no-options {" ".join(EXPIRED)} "$@"\n'
    )
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert (openpgp.cycle(), openpgp.transient) == (code, transient)

    assert not openpgp.target.exists()


@pytest.mark.parametrize(("synchronised", "code"), [(True, "SignerExpired"), (False, "ClockNotSynchronised")])
def test_an_openpgp_key_of_the_future_is_taken_later_when_the_clock_may_be_behind(
    openpgp, monkeypatch, synchronised, code
):
    monkeypatch.setattr(clock, "is_synchronised", lambda: synchronised)
    later = ("--faked-system-time", "20500101T000000")
    openpgp.generate("Alice <alice@cluster.example>", "ed25519", "never", *later)
    openpgp.gnupg.program.write_text(
        f'#!/bin/sh\nexec gpg --homedir {openpgp.gnupg.home} --no-options {" ".join(later)} "$@"\n'
    )
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert openpgp.cycle() == code


def test_a_revoked_openpgp_key_is_refused(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    gpg_push(openpgp, "one", "alice@cluster.example")
    (certificate,) = (openpgp.gnupg.home / "openpgp-revocs.d").glob("*.rev")
    certificate.write_text(certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
    openpgp.gnupg.gpg("--import", certificate)
    openpgp.file.unlink()
    openpgp.gnupg.export(openpgp.file)

    assert openpgp.cycle() == "SignerRevoked"


def test_a_sha1_signature_of_openpgp_is_refused(openpgp):
    openpgp.generate("Alice <alice@cluster.example>", "rsa3072")
    openpgp.gnupg.program.write_text(
        f'#!/bin/sh\nexec gpg --homedir {openpgp.gnupg.home} --no-options --digest-algo SHA1 "$@"\n'
    )
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert openpgp.cycle() == "SignatureInvalid"


def test_an_armored_keyring_is_refused_with_the_way_to_a_binary_one(openpgp):
    openpgp.generate("Alice <alice@cluster.example>")
    openpgp.file.unlink()
    openpgp.gnupg.gpg("--armor", "--output", openpgp.file, "--export")
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert openpgp.cycle() == "InvalidConfiguration"

    assert "--dearmor" in openpgp.message


# --- what looks without applying -------------------------------------------------------------------------------


def configuration(node):
    config = node.config
    source, paths = config.source, config.paths
    file = node.directory / "nodeagent.toml"
    signatures = "".join(f'{name} = "{path}"\n' for name, path in node.signatures.items())
    file.write_text(
        f'jobs.probe = "none"\nfirst_start = "apply"\ninterval = 1\npassword.file = "{node.site.password_file}"\n'
        f'[source]\nurl = "{source.url}"\nkey = "{source.key}"\nknown_hosts = "{source.known_hosts}"\n'
        f'checkout = "{source.checkout}"\nuser = "{source.user}"\nref = "{source.ref}"\n'
        f'[paths]\nstate = "{paths.state}"\ncache = "{paths.cache}"\nruntime = "{paths.runtime}"\n'
        f"[signatures]\n{signatures}"
    )
    return file


def test_plan_of_a_ref_that_is_not_signed_is_refused_as_apply_would_refuse_it(node, capsys):
    node.push("one", node.alice)
    node.cycle()
    node.push("two", branch="next")
    file = configuration(node)

    assert main.call(["plan", "--config", str(file), "--ref", "next"]) == 1

    assert "is not signed" in capsys.readouterr().err
    assert node.target.read_text() == "one"


def test_plan_of_a_signed_ref_is_made_and_says_by_whom(node, capsys):
    node.push("one", node.alice)
    node.cycle()
    node.push("two", branch="next")
    node.tag("v2", node.alice)
    file = configuration(node)

    assert main.call(["plan", "--config", str(file), "--ref", "v2"]) == 2

    said = capsys.readouterr()
    assert str(node.target) in said.out
    assert "is signed by alice@cluster.example" in said.err


def test_plan_verifies_openpgp_too(openpgp, capsys):
    openpgp.generate("Alice <alice@cluster.example>")
    gpg_push(openpgp, "one", "alice@cluster.example")

    assert main.call(["plan", "--config", str(configuration(openpgp))]) == 2, capsys.readouterr().err

    assert "is signed by Alice" in capsys.readouterr().err


@pytest.mark.parametrize("tagged", [False, True])
def test_key_check_says_who_signed(node, capsys, tagged):
    node.push("one", None if tagged else node.alice)
    if tagged:
        node.tag("v1", node.alice)
        node.ref = "v1"

    assert main.call(["key", "check", "--config", str(configuration(node))]) == 0

    said = capsys.readouterr().out
    assert "ok      signature: " in said
    assert "is signed by alice@cluster.example (ssh-ed25519 SHA256:" in said


def test_key_check_says_that_a_commit_is_not_signed(node, capsys):
    node.push("one")

    assert main.call(["key", "check", "--config", str(configuration(node))]) == 1

    assert "FAILED  signature: commit " in capsys.readouterr().out


def test_key_check_says_that_the_file_of_signers_is_unsound(node, capsys):
    node.push("one", node.alice)
    file = configuration(node)
    node.allow("alice")

    assert main.call(["key", "check", "--config", str(file)]) == 1

    assert "FAILED  signature: signatures.allowed_signers: " in capsys.readouterr().out


def test_key_check_from_a_directory_takes_the_files_of_signers_from_there(node, capsys):
    node.push("one", node.alice)
    there = node.directory / "site"
    there.mkdir()
    configuration(node).rename(there / "nodeagent.toml")
    shutil.copy(node.config.source.known_hosts, there / "known_hosts")
    shutil.copy(node.config.source.key, there / "key.enc")
    node.allowed.rename(there / node.allowed.name)

    password = str(node.site.password_file)
    assert main.call(["key", "check", "--from", str(there), "--password-file", password]) == 0, capsys.readouterr()

    assert "ok      signature: " in capsys.readouterr().out


# --- a daemon that only observes -------------------------------------------------------------------------------


def observed(node):
    """What an observing daemon makes of the newest commit: its failure's code, and who it says has signed."""
    config = node.config.model_copy(update={"mode": "observe"})
    found, _ = node.site.poll(config)
    recorder = Recorder()
    outcome = worker.run("apply", lambda r, s: plan_of(config).apply(found.commit, r, s), recorder, time_limit=50)
    code = outcome.failure.code if outcome.failure else ""
    return code, [event.text for event in recorder.events if "is signed by" in getattr(event, "text", "")]


def test_an_observing_daemon_says_once_who_signed(node):
    node.push("one", node.alice)

    code, said = observed(node)
    assert (code, len(said)) == ("", 1)

    assert observed(node) == ("", [])


def test_an_observing_daemon_looks_again_when_the_file_of_signers_was_mended(node):
    node.push("one", node.key("bob"))
    assert observed(node) == ("SignerUnknown", [])
    runtime = node.config.paths.runtime
    assert watch.look(runtime, boot_id()) is not None

    node.allow(f"alice@cluster.example {public(node.alice)}", f"bob {public(node.directory / 'bob.key')}")

    assert watch.look(runtime, boot_id()) is None
    assert observed(node)[0] == ""
