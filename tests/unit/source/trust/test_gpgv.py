"""How gpgv is run: by the fetch user, with nothing but what it is given, and not for ever."""

import os
import pwd
import shutil

import pytest

from nodeagent.errors import FetchUserMissing, InvalidConfiguration, WorkerFailed
from nodeagent.source.trust import gpgv

SAYS = "[GNUPG:] "


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Puts a program of the test's own in gpgv's place."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o111)

    def put(body):
        program = tmp_path / "gpgv"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setattr(gpgv, "program", lambda: str(program))
        # What a shell runs by, and what the tests ask it to look at.
        monkeypatch.setattr(gpgv, "_LIBRARIES", (*gpgv._LIBRARIES, "/usr/bin", "/proc"))

    return put


def asked():
    return gpgv.statuses(b"keys", b"signature", b"payload", "nobody")


def test_it_is_nobody_without_groups_network_or_environment(instead):
    instead(
        f"""
        while read -r name value; do
            case $name in Uid:|Groups:|CapEff:|NoNewPrivs:) printf '%s%s %s\\n' '{SAYS}' "$name" "$value" ;; esac
        done </proc/self/status
        while read -r first rest; do
            case $first in *:) printf '%snet %s\\n' '{SAYS}' "$first" ;; esac
        done </proc/net/dev
        printf '%shome [%s]\\n' '{SAYS}' "$HOME"
        """
    )

    found = asked()

    told = {words[0]: " ".join(words[1:]).split() for words in found if words[0] != "net"}
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    assert told["Uid:"] == [nobody] * 4
    assert told["Groups:"] == []
    assert told["CapEff:"] == ["0" * 16]
    assert told["NoNewPrivs:"] == ["1"]
    assert told["home"] == ["[]"]
    assert [words[1] for words in found if words[0] == "net"] == ["lo:"]


def test_it_reads_what_it_is_given_and_holds_nothing_else(instead):
    instead(
        f"""
        read -r payload || :
        read -r keys <"$6"
        read -r signature <"$7"
        printf '%s%s %s %s\\n' '{SAYS}' "$payload" "$keys" "$signature"
        for file in /proc/self/fd/*; do printf '%sfd %s\\n' '{SAYS}' "${{file##*/}}"; done
        """
    )

    found = asked()

    assert found[0] == ["payload", "keys", "signature"]
    assert len([words for words in found if words[0] == "fd"]) <= 7  # 0, 1, 2, two files, the script, the directory


def test_one_that_hangs_is_ended(instead, monkeypatch):
    monkeypatch.setattr(gpgv, "_TIME_LIMIT", 0.3)
    instead("while :; do :; done")

    with pytest.raises(WorkerFailed, match=r"did not end within 0\.3 s"):
        asked()


def test_one_that_says_no_end_of_things_is_ended(instead):
    instead("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")

    with pytest.raises(WorkerFailed):
        asked()


def test_one_that_is_killed_is_an_error_of_its_own(instead):
    instead("ulimit -t 1; while :; do :; done")

    with pytest.raises(WorkerFailed, match="was killed by signal 9"):
        asked()


def test_without_gpgv_it_says_which_package_has_it(monkeypatch):
    monkeypatch.setattr(gpgv, "_PATH", "/nonexistent")

    with pytest.raises(InvalidConfiguration, match="install the package"):
        asked()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(shutil.which("gpgv") is None, reason="needs gpgv")
def test_it_is_never_run_as_root():
    with pytest.raises(FetchUserMissing):
        gpgv.statuses(b"", b"", b"", "no-such-user")


@pytest.mark.skipif(shutil.which("gpgv") is None, reason="needs gpgv")
def test_noise_is_no_signature():
    assert not [words for words in gpgv.statuses(b"noise", b"noise", b"", "nobody") if words[0] == "GOODSIG"]
