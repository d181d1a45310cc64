"""What ``# nodeagent: mode=... owner=...`` says of a COPY, from post.sh's text to the file."""

import grp
import os
import pwd

import pytest

from nodeagent.errors import AnnotationInvalid
from nodeagent.model.evaluation import Change
from tests.integration.site import Site

DAEMON = (pwd.getpwnam("daemon").pw_uid, grp.getgrnam("daemon").gr_gid)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.file("files/key", "secret\n")
    return site


def copied(site, words, more=""):
    site.program(f"COPY files/key $D/etc/key # nodeagent: {words}\n{more}")
    done = site.apply()
    return site.root / "etc/key", done


def stands(path):
    status = path.lstat()
    return status.st_mode & 0o7777, (status.st_uid, status.st_gid)


def test_a_file_gets_the_mode_and_the_owner_that_its_line_declares(site):
    key, _ = copied(site, "mode=0400 owner=daemon:daemon")
    assert stands(key) == (0o400, DAEMON)
    assert site.drifted() == []
    before = key.stat()
    assert not site.apply().changed
    assert key.stat().st_ctime_ns == before.st_ctime_ns


@pytest.mark.parametrize("drift", ["mode", "owner", "group", "replaced"])
def test_drift_of_mode_and_owner_is_put_back(site, drift):
    key, _ = copied(site, "mode=0400 owner=daemon:daemon")
    match drift:
        case "mode":
            key.chmod(0o444)
        case "owner":
            os.chown(key, 0, -1)
        case "group":
            os.chown(key, -1, 0)
        case "replaced":
            key.unlink()
            key.write_text("secret\n")
    assert site.drifted() == ["etc/key"]
    assert site.apply().counts[Change.UPDATED] == 1
    assert stands(key) == (0o400, DAEMON)
    assert site.drifted() == []


def test_a_changed_annotation_is_given_to_the_file_that_stands_and_a_removed_one_taken_back(site):
    key, _ = copied(site, "mode=0400 owner=daemon:daemon")
    copied(site, "mode=0440 owner=daemon")
    assert stands(key) == (0o440, (DAEMON[0], 0))
    copied(site, "ignore=secret-mode")
    assert stands(key) == (0o644, (0, 0))


def test_an_owner_whom_the_node_does_not_know_fails_that_step_and_says_so(site):
    key, done = copied(site, "mode=0400 owner=nobody-here:daemon", "touch $D/below\n")
    (failed,) = [step for step in done.steps if step.change is Change.FAILED]
    assert "there is no user nobody-here on this node: create it in a line above" in failed.reason
    assert not key.exists()
    assert (site.root / "below").exists()


@pytest.mark.parametrize("statement", ["echo x >>$D/f", "echo x >$D/f", "touch $D/f"])
@pytest.mark.parametrize("word", ["mode=0400", "owner=daemon"])
def test_only_a_copy_takes_them(site, statement, word):
    site.program(f"{statement} # nodeagent: {word}")
    with pytest.raises(AnnotationInvalid, match=f"'{word}' does not fit a step of phase"):
        site.apply()
    assert list(site.root.iterdir()) == []
