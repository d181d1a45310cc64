"""Commits and tags taken apart: what was signed is what git says was signed."""

import os
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.source.store.objects import MalformedError
from nodeagent.source.trust import signed, ssh_signature
from nodeagent.source.trust.ssh_key import UnsoundError


class Repository:
    """A repository whose git signs with an SSH key, and knows that it may."""

    def __init__(self, directory, key):
        self.directory = directory
        allowed = directory / "allowed"
        subprocess.run(["git", "init", "-q", "-b", "main", directory], check=True)
        allowed.write_text(f"alice@x.example {key.line}\n")
        for name, value in {
            "user.name": "Alice",
            "user.email": "alice@x.example",
            "gpg.format": "ssh",
            "user.signingkey": key.path,
            "gpg.ssh.allowedSignersFile": allowed,
        }.items():
            self.git("config", name, value)

    def git(self, *arguments, data=None, check=True):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", self.directory, *arguments]
        return subprocess.run(command, input=data, check=check, capture_output=True, env=environment)

    def content(self, kind, name):
        return self.git("cat-file", kind, name).stdout

    def write(self, kind, content):
        made = self.git("hash-object", "-t", kind, "-w", "--literally", "--stdin", data=content)
        return made.stdout.decode().strip()

    def verifies(self, kind, content):
        """What git says of an object."""
        return self.git(f"verify-{kind}", self.write(kind, content), check=False).returncode == 0


@pytest.fixture(scope="module")
def repository(tmp_path_factory, ssh_keys):
    made = Repository(tmp_path_factory.mktemp("repository"), ssh_keys["ed25519"])
    made.git("commit", "-q", "--allow-empty", "-S", "-m", "First\n\nwith a gpgsig line\ngpgsig here\n")
    made.git("checkout", "-q", "-b", "side")
    made.git("commit", "-q", "--allow-empty", "-m", "Side")
    made.git("tag", "-s", "-m", "Release\n\nof the side", "v1")
    made.git("tag", "-a", "-m", "Not signed", "v0")
    made.git("checkout", "-q", "main")
    made.git("merge", "-q", "--no-ff", "-S", "-m", "Merge", "v1")
    return made


def accepts(of, content):
    try:
        parts = of(content)
        ssh_signature.verify(parts.signature, parts.payload)
    except (MalformedError, UnsoundError):
        return False
    return True


def headed(content, header):
    """An object with one header more, before the signature."""
    at = content.index(b"\ngpgsig ") + 1
    return content[:at] + header + content[at:]


@pytest.mark.parametrize("name", ["main~1", "main"])
def test_what_was_signed_of_a_commit_is_found_as_git_finds_it(repository, name):
    content = repository.content("commit", name)

    assert accepts(signed.of_commit, content)
    assert repository.verifies("commit", content)


def test_a_merge_of_a_signed_tag_has_the_tag_in_what_was_signed(repository):
    parts = signed.of_commit(repository.content("commit", "main"))

    assert b"\nmergetag object " in parts.payload
    assert parts.payload.count(b"BEGIN SSH SIGNATURE") == 1


def test_the_signature_under_the_other_hash_is_part_of_nothing(repository):
    content = repository.content("commit", "main")
    for changed in (
        headed(content, b"gpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n other\n -----END SSH SIGNATURE-----\n"),
        content.replace(b"\n\n", b"\ngpgsig-sha256 a\n b\n\n", 1),
    ):
        assert accepts(signed.of_commit, changed)
        assert repository.verifies("commit", changed)


def test_what_git_does_not_count_as_signed_may_hold_nothing_else(repository):
    changed = headed(repository.content("commit", "main"), b"gpgsigned-off yes\n")

    assert repository.verifies("commit", changed)  # anybody may add it
    with pytest.raises(MalformedError, match="a header that git does not write"):
        signed.of_commit(changed)


@pytest.mark.parametrize("before", [b"tree ", b"parent ", b"author "])
def test_a_signature_stands_behind_what_every_commit_has(repository, before):
    content = repository.content("commit", "main")
    assert accepts(signed.of_commit, content.replace(b"\n\n", b"\ngpgsig-sha256 a\n\n", 1))

    with pytest.raises(MalformedError, match="before what was signed"):
        signed.of_commit(content.replace(before, b"gpgsig-sha256 a\n" + before, 1))


def test_two_signatures_are_refused(repository):
    content = repository.content("commit", "main")

    with pytest.raises(MalformedError, match="two signatures"):
        signed.of_commit(headed(content, b"gpgsig -----BEGIN\n"))


@pytest.mark.parametrize("change", [(b"Merge", b"merge"), (b"\nparent ", b"\nparent\t"), (b" +0000\n", b" +0001\n")])
def test_a_changed_commit_is_refused_as_git_refuses_it(repository, change):
    content = repository.content("commit", "main").replace(*change, 1)

    assert not accepts(signed.of_commit, content)
    assert not repository.verifies("commit", content)


def test_the_date_is_the_committers_and_the_taggers(repository):
    told = repository.git("log", "-1", "--format=%ct", "main").stdout
    assert signed.of_commit(repository.content("commit", "main")).dated == int(told)
    told = repository.git("for-each-ref", "--format=%(taggerdate:unix)", "refs/tags/v1").stdout
    assert signed.of_tag(repository.content("tag", "v1")).dated == int(told)


def test_a_commit_without_a_signature_has_none(repository):
    content = repository.content("commit", "side")

    assert signed.of_commit(content).signature == b""
    assert signed.of_commit(content).payload == content


def test_what_was_signed_of_a_tag_is_found_as_git_finds_it(repository):
    content = repository.content("tag", "v1")

    assert accepts(signed.of_tag, content)
    assert repository.verifies("tag", content)
    found = signed.tag_of(signed.of_tag(content).payload)
    commit = repository.git("rev-parse", "side").stdout.decode().strip()
    assert (found.oid, found.kind, found.name) == (commit, "commit", b"v1")


def test_a_tag_without_a_signature_has_none(repository):
    assert signed.of_tag(repository.content("tag", "v0")).signature == b""


def test_of_two_signatures_of_a_tag_the_last_one_counts_as_for_git(repository):
    content = repository.content("tag", "v1")
    begin = content.index(b"-----BEGIN")
    before = content[:begin] + content[begin:].replace(b"U1NIU0lH", b"AAAAAAAA") + content[begin:]

    assert not accepts(signed.of_tag, before)
    assert not repository.verifies("tag", before)
    assert not accepts(signed.of_tag, content + content[begin:])


@pytest.mark.parametrize("header", [b"gpgsig a\n", b"gpgsig-x a\n"])
def test_a_tag_with_a_signature_in_its_header_is_refused(repository, header):
    content = repository.content("tag", "v1").replace(b"tagger ", header + b"tagger ", 1)

    with pytest.raises(MalformedError):
        signed.of_tag(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "without an end of its header"),
        (b"tree x\n", "without an end of its header"),
        (b"tree x\n\nmessage", "without a date"),
        (b"tree x\ncommitter a <b> x +0000\n\nmessage", "without a date"),
    ],
)
def test_what_git_did_not_write_is_refused(content, said):
    with pytest.raises(MalformedError, match=said):
        signed.of_commit(content)


@pytest.mark.parametrize("payload", [b"", b"object x\n", b"object %s\ntype commit\n\n" % (b"1" * 40)])
def test_a_tag_that_does_not_say_what_it_stands_for_is_refused(payload):
    with pytest.raises(MalformedError):
        signed.tag_of(payload)


@given(st.lists(st.sampled_from([b"\n", b" ", b"gpgsig ", b"committer a <b> 1 +0000\n", b"x", b"gpgsig-sha256 "])))
def test_any_object_is_taken_apart_or_refused(parts):
    for of in (signed.of_commit, signed.of_tag):
        try:
            of(b"".join(parts))
        except MalformedError:
            continue


@pytest.mark.parametrize(("kind", "name", "of"), [("commit", "main", signed.of_commit), ("tag", "v1", signed.of_tag)])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_of_an_object_is_accepted_unless_git_accepts_it_too(repository, kind, name, of, data):
    changed = bytearray(repository.content(kind, name))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))

    if accepts(of, bytes(changed)):
        assert repository.verifies(kind, bytes(changed))
