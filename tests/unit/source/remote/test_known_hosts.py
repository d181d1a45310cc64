import base64
import os
import subprocess  # noqa: TID251 - tests drive the real programs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import InvalidConfiguration
from nodeagent.model.address import parse
from nodeagent.source.remote.known_hosts import Pin, narrow, narrowed, pinned

KEYS = {
    "a": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWXkvqq8RpE4fgR2bscWMMhSsz8QUqvrBk7f4l63nEX",
    "b": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
}
ADDRESS = parse("ssh://git@git.cluster.example/r.git")
ELSEWHERE = parse("ssh://git@git.cluster.example:2222/r.git")


def pin(name):
    kind, key = KEYS[name].split()
    return Pin(kind=kind, key=key)


def found(text, address=ADDRESS):
    return list(pinned(text.format(**KEYS), address).keys)


@pytest.mark.parametrize(
    "line",
    [
        "git.cluster.example {a}",
        "git.cluster.example {a} with a comment",
        "other,git.cluster.example,10.0.0.1 {a}",
        "GIT.Cluster.Example {a}",
        "*.cluster.example {a}",
        "git.cluster.exampl? {a}",
        "  git.cluster.example\t{a}\r",
    ],
)
def test_a_line_for_the_host_pins_its_key(line):
    assert found(line) == [pin("a")]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# git.cluster.example {a}",
        "#git.cluster.example {a}",
        "git.cluster.example",
        "git.cluster.example ssh-ed25519",
        "git.cluster.example ssh-ed25519 not-base64",
        "git.cluster.example ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAICWXkvqq8RpE4fgR2bscWMMhSsz8QUqvrBk7f4l63nEX",
        "cluster.example {a}",
        "*.cluster.example,!git.cluster.example {a}",
        "!git.cluster.example {a}",
        "git.cluster.exampl[e] {a}",
        "[git.cluster.example]:2222 {a}",
        "@cert-authority *.cluster.example {a}",
        "|1|short|alsoshort {a}",
        "|1|! {a}",
    ],
)
def test_another_line_pins_nothing(line):
    assert found(line) == []


def test_several_keys_of_a_host_are_all_pinned():
    assert found("git.cluster.example {a}\ngit.cluster.example {b}\ngit.cluster.example {a}") == [pin("a"), pin("b")]


def test_a_revoked_key_is_not_pinned_whoever_it_is_revoked_for():
    assert found("git.cluster.example {a}\n@revoked * {a}\ngit.cluster.example {b}") == [pin("b")]


def test_a_line_with_the_port_goes_before_one_without():
    text = "git.cluster.example {a}\n[git.cluster.example]:2222 {b}"

    assert found(text, ELSEWHERE) == [pin("b")]
    assert found(text, ADDRESS) == [pin("a")]
    assert found("git.cluster.example {a}", ELSEWHERE) == [pin("a")]


def test_an_ipv6_address_is_found_with_and_without_port():
    assert found("[fd00::1]:2222 {a}", parse("ssh://git@[fd00::1]:2222/r")) == [pin("a")]
    assert found("fd00::1 {a}", parse("ssh://git@[fd00::1]/r")) == [pin("a")]


@pytest.mark.parametrize("address", [ADDRESS, ELSEWHERE])
def test_lines_that_ssh_keygen_hashed_are_found(tmp_path, address):
    name = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
    file = tmp_path / "known_hosts"
    file.write_text(f"{name} {KEYS['a']}\nother {KEYS['b']}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "|1|" in file.read_text()

    assert list(pinned(file.read_text(), address).keys) == [pin("a")]


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path):
    (tmp_path / "key.pub").write_text(KEYS["a"] + "\n")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], check=True, capture_output=True, text=True)

    assert pin("a").fingerprint in shown.stdout.split()


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text):
    pinned(text, ADDRESS)
    pinned(f"{text} {KEYS['a']}", ADDRESS)


def test_narrowing_writes_the_hosts_keys_readable_for_all(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "run/home"
    source.write_text("*.cluster.example {a}\nother {b}\n".format(**KEYS))

    narrow(source, (), home, [ELSEWHERE])

    assert list(narrowed(home, ELSEWHERE).keys) == [pin("a")]
    assert f"[git.cluster.example]:2222 {KEYS['a']}\n" in (home / ".ssh/known_hosts").read_text()
    assert (home / ".ssh/known_hosts").stat().st_mode & 0o777 == 0o644
    assert os.listdir(home / ".ssh") == ["known_hosts"]


def test_narrowing_again_writes_only_after_a_change(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "home"
    source.write_text("git.cluster.example {a}\n".format(**KEYS))
    narrow(source, (), home, [ADDRESS])
    first = (home / ".ssh/known_hosts").stat()

    narrow(source, (), home, [ADDRESS])
    assert (home / ".ssh/known_hosts").stat().st_ino == first.st_ino

    source.write_text("git.cluster.example {b}\n".format(**KEYS))
    narrow(source, (), home, [ADDRESS])
    assert list(narrowed(home, ADDRESS).keys) == [pin("b")]

    elsewhere = parse("ssh://elsewhere/r")
    narrow(source, (), home, [elsewhere])
    assert list(narrowed(home, elsewhere).keys) == []


def test_a_source_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InvalidConfiguration, match=rf"source\.known_hosts: {tmp_path}"):
        narrow(tmp_path, (), tmp_path / "home", [ADDRESS])


def test_a_home_that_cannot_be_read_pins_nothing(tmp_path):
    assert list(narrowed(tmp_path, ADDRESS).keys) == []


def test_a_source_that_goes_away_unpins_all(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "home"
    source.write_text("git.cluster.example {a}\n".format(**KEYS))
    narrow(source, (), home, [ADDRESS])
    source.unlink()

    narrow(source, (), home, [ADDRESS])

    assert list(narrowed(home, ADDRESS).keys) == []


def test_lines_of_the_configuration_count_like_those_of_the_file_and_a_change_of_them_is_seen(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "home"
    lines = ["git.cluster.example {a}".format(**KEYS)]
    narrow(source, lines, home, [ADDRESS])
    assert list(narrowed(home, ADDRESS).keys) == [pin("a")]

    source.write_text("git.cluster.example {b}\n".format(**KEYS))
    narrow(source, lines, home, [ADDRESS])
    assert list(narrowed(home, ADDRESS).keys) == [pin("b"), pin("a")]

    narrow(source, [f"@revoked * {KEYS['a']}"], home, [ADDRESS])
    assert list(narrowed(home, ADDRESS).keys) == [pin("b")]


def test_each_of_several_addresses_keeps_its_own_keys(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "home"
    source.write_text("git.cluster.example {a}\n[git.cluster.example]:2222 {b}\n".format(**KEYS))

    narrow(source, (), home, [ADDRESS, ELSEWHERE])

    assert list(narrowed(home, ADDRESS).keys) == [pin("a")]
    assert list(narrowed(home, ELSEWHERE).keys) == [pin("b")]


def test_what_libssh2_does_not_understand_is_narrowed_to_comments_and_read_back(tmp_path):
    source, home = tmp_path / "known_hosts", tmp_path / "home"
    source.write_text("@revoked * {a}\n@cert-authority *.cluster.example {b}\n".format(**KEYS))

    narrow(source, (), home, [ADDRESS])

    assert all(line.startswith("#") for line in (home / ".ssh/known_hosts").read_text().splitlines())
    found = narrowed(home, ADDRESS)
    assert (found.keys, found.revoked, found.authorities) == ([], [pin("a")], [pin("b")])


def test_a_key_as_a_server_shows_it_is_the_pin_of_its_line():
    kind, key = KEYS["a"].split()

    assert Pin.from_blob(base64.b64decode(key)) == pin("a")
    assert Pin.from_blob(b"").kind == ""
    assert str(pin("a")) == f"{kind} {pin('a').fingerprint}"
