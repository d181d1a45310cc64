"""A poll against a real OpenSSH server, in a child that gives up root as the daemon's does."""

import ctypes
import os
import pwd
import shutil
import socket
import subprocess  # noqa: TID251 - tests drive the real programs
import threading
from pathlib import Path

import pytest

from nodeagent.model.events import Notice
from nodeagent.source.poll import poll, store_path
from tests.integration.conftest import Recorder, in_child

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


def failure_of(site, config=None, current=""):
    outcome, _ = site.poll(config, current)
    assert outcome.failure is not None
    assert not outcome.moved
    return outcome.failure


def assert_stalled(failure, code, *texts):
    assert (failure.code, failure.transient) == (code, False)
    for text in texts:
        assert text in failure.message
    assert "\n" not in failure.message


def other_key(directory: Path, kind: str = "ed25519") -> Path:
    key = directory / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key], check=True)
    return key


# --- what works ------------------------------------------------------------------------------------------------


def test_the_first_poll_fetches_the_branch(site):
    commit = site.repository.commit(PLAN)

    outcome, events = site.poll()

    assert outcome.failure is None
    assert (outcome.commit, outcome.moved) == (commit, True)
    assert events == []


def test_the_first_poll_leaves_the_history_on_the_server(site):
    for text in "abc":
        site.repository.commit({"post.sh": text})

    site.poll()

    assert (store_path(site.config()) / "shallow").read_text().split() == [site.repository.head]


def test_another_fetch_user_takes_over_without_what_the_one_before_has_left(site):
    commit = site.repository.commit(PLAN)
    site.poll()
    for name in ("mirrors.json", "beacon.json"):
        (store_path(site.config()).parent / name).write_text("{}")
    source = site.config().source.model_copy(update={"user": "daemon"})

    outcome, _ = site.poll(site.config().model_copy(update={"source": source}))

    assert (outcome.commit, outcome.failure) == (commit, None)
    directory = store_path(site.config()).parent
    assert [path.name for path in directory.iterdir()] == ["store.git"]
    assert {path.stat().st_uid for path in (directory, *directory.iterdir())} == {pwd.getpwnam("daemon").pw_uid}


@pytest.mark.parametrize("which", ["cache", "runtime"])
def test_a_file_system_that_is_read_only_is_named(site, which):
    site.repository.commit(PLAN)
    config = site.config()
    top = getattr(config.paths, which)
    top.mkdir(parents=True, exist_ok=True)

    def poll_on_read_only():
        libc = ctypes.CDLL(None)
        assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
        assert libc.mount(None, b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
        assert libc.mount(b"t", os.fsencode(top), b"tmpfs", 1, None) == 0  # MS_RDONLY
        return poll(config, "", threading.Event(), Recorder(), None)

    failure = in_child(poll_on_read_only).failure
    assert failure.code == "NodeUnusable"
    assert str(top) in failure.message
    assert "read-only" in failure.message


def test_a_poll_with_no_news_has_not_moved(site):
    commit = site.repository.commit(PLAN)
    site.poll()

    outcome, events = site.poll(current=commit)

    assert (outcome.commit, outcome.moved, outcome.failure) == (commit, False, None)
    assert events == []


def test_later_commits_arrive_one_by_one_or_many_at_once(site):
    current = site.repository.commit(PLAN)
    site.poll()
    for count in (1, 3):
        for number in range(count):
            newest = site.repository.commit({"files/motd": f"{count} {number}"})
        outcome, _ = site.poll(current=current)
        assert (outcome.commit, outcome.moved, outcome.failure) == (newest, True, None)
        current = newest


def test_a_merge_of_work_from_before_the_first_fetch_is_followed(site):
    site.repository.commit(PLAN)
    site.repository.git("branch", "side")
    current = site.repository.commit({"a": "1"})
    site.poll()
    site.repository.git("checkout", "-q", "side")
    site.repository.write({"b": "2"})
    site.repository.git("add", "--all")
    site.repository.git("commit", "-q", "-m", "Work beside")
    site.repository.git("checkout", "-q", "main")
    site.repository.git("merge", "-q", "--no-edit", "side")
    site.repository.push()

    outcome, _ = site.poll(current=current)

    assert (outcome.commit, outcome.failure) == (site.repository.head, None)


def test_a_store_that_is_gone_is_filled_again(site):
    commit = site.repository.commit(PLAN)
    site.poll()
    shutil.rmtree(store_path(site.config()))

    outcome, _ = site.poll(current=commit)

    assert (outcome.commit, outcome.moved, outcome.failure) == (commit, False, None)


def test_a_new_commit_is_followed_although_the_store_is_gone(site):
    current = site.repository.commit(PLAN)
    site.poll()
    shutil.rmtree(store_path(site.config()))
    for text in "abc":
        newest = site.repository.commit({"files/motd": text})

    outcome, _ = site.poll(current=current)

    assert (outcome.commit, outcome.moved, outcome.failure) == (newest, True, None)


@pytest.mark.parametrize(
    "harm",
    [
        "HEAD",
        "objects",
        "pack",
        "index",
        "not a directory",
        "no pack",
        "no index",
        "shallow",
        "no shallow",
        "ref",
        "no ref",
    ],
)
def test_a_damaged_store_is_thrown_away_and_fetched_anew(site, harm):
    site.repository.commit({"post.sh": "#!/bin/sh\nexit 1\n"})
    current = site.repository.commit(PLAN)
    site.poll()
    store = store_path(site.config())
    match harm:
        case "HEAD":
            (store / "HEAD").write_bytes(b"\0" * 10)
        case "objects":
            shutil.rmtree(store / "objects")
        case "pack" | "index":
            (file,) = (store / "objects/pack").glob(f"*.{'pack' if harm == 'pack' else 'idx'}")
            file.chmod(0o600)
            file.write_bytes(file.read_bytes()[:40])
        case "no pack" | "no index":
            (file,) = (store / "objects/pack").glob(f"*.{'pack' if harm == 'no pack' else 'idx'}")
            file.unlink()
        case "shallow":
            (store / "shallow").write_bytes(b"\0" * 40)
        case "no shallow":
            (store / "shallow").unlink()
        case "ref":
            (store / "refs/nodeagent/fetched").write_bytes(b"")
        case "no ref":
            (store / "refs/nodeagent/fetched").unlink()
        case _:
            shutil.rmtree(store)
            store.touch()
    newest = site.repository.commit({"files/motd": "new"})

    outcome, _ = site.poll(current=current)

    assert (outcome.commit, outcome.moved, outcome.failure) == (newest, True, None)


def test_a_store_of_another_fetch_user_is_replaced(site):
    commit = site.repository.commit(PLAN)
    site.poll()

    outcome, _ = site.poll(site.config(source={"user": "daemon"}), current=commit)

    assert (outcome.commit, outcome.failure) == (commit, None)
    assert store_path(site.config()).stat().st_uid == pwd.getpwnam("daemon").pw_uid


def test_the_store_belongs_to_the_fetch_user_alone(site):
    site.repository.commit(PLAN)
    site.poll()

    for path in (store_path(site.config()).parent, *store_path(site.config()).rglob("*")):
        assert path.lstat().st_uid == pwd.getpwnam(site.config().source.user).pw_uid
    assert store_path(site.config()).parent.stat().st_mode & 0o777 == 0o700


def test_a_closed_umask_does_not_close_the_way_for_the_fetch_user(site):
    commit = site.repository.commit(PLAN)
    before = os.umask(0o077)
    try:
        outcome, _ = site.poll()
    finally:
        os.umask(before)

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_the_user_defaults_to_git_as_servers_have_it(site):
    site.repository.commit(PLAN)
    url = site.url.replace("root@", "")

    failure = failure_of(site, site.config(source={"url": url}))

    assert_stalled(failure, "AuthenticationFailed", "for user git")


# --- what a person must mend -----------------------------------------------------------------------------------


def test_a_wrong_password_stalls_before_anything_is_contacted(site):
    site.server.stop()
    site.password_file.write_text("incorrect\n")

    assert_stalled(failure_of(site), "WrongPassword", "does not open the key file")


def test_a_missing_password_names_what_was_tried(site):
    site.password_file.unlink()

    assert_stalled(failure_of(site), "PasswordUnavailable", str(site.password_file), "nodeagent.password")


def test_a_missing_key_file_is_named(site):
    site.key_file.unlink()

    assert_stalled(failure_of(site), "KeyFileInvalid", str(site.key_file))


def test_a_key_that_the_server_does_not_know_stalls(site, tmp_path):
    site.repository.commit(PLAN)
    site.server.authorize(other_key(tmp_path).with_suffix(".pub"))

    assert_stalled(failure_of(site), "AuthenticationFailed", "deploy key", "root")


def test_a_host_that_is_not_pinned_is_refused(site):
    site.repository.commit(PLAN)
    site.known_hosts.write_text("")

    assert_stalled(failure_of(site), "HostKeyUnknown", str(site.known_hosts), "ssh-keyscan")


def test_without_a_known_hosts_file_no_host_is_trusted(site):
    site.repository.commit(PLAN)
    site.known_hosts.unlink()

    assert_stalled(failure_of(site), "HostKeyUnknown", str(site.known_hosts))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_changed_host_key_is_refused_whatever_its_type(site, kind):
    site.repository.commit(PLAN)
    pinned = site.server.fingerprint
    site.server.stop()
    site.server.new_host_key(kind)
    site.server.start()

    assert_stalled(failure_of(site), "HostKeyMismatch", pinned, site.server.fingerprint, str(site.known_hosts))


def test_a_host_key_in_the_configuration_itself_is_enough(site):
    commit = site.repository.commit(PLAN)
    site.known_hosts.unlink()
    config = site.config(source={"host_keys": [site.server.known_hosts_line.strip()]})

    outcome, _ = site.poll(config)

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_of_several_pinned_keys_any_one_is_accepted_so_that_a_server_can_change_its_key(site):
    commit = site.repository.commit(PLAN)
    site.server.stop()
    site.server.new_host_key("ecdsa")
    site.server.start()
    with site.known_hosts.open("a") as stream:
        stream.write(site.server.known_hosts_line)

    outcome, _ = site.poll()

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_key_of_the_same_host_at_another_port_is_none_of_this_ones(site):
    site.repository.commit(PLAN)
    line = site.server.known_hosts_line
    other = other_key(site.directory).with_suffix(".pub").read_text()
    site.known_hosts.write_text(f"{line.split()[0]} {other}127.0.0.1 {line.split(maxsplit=1)[1]}")
    assert_stalled(failure_of(site), "HostKeyMismatch", site.server.fingerprint)

    # libssh2 takes a key of the host without a port for that with one; here a mirror has it pinned.
    failure = failure_of(site, site.config(source={"mirrors": ["ssh://root@127.0.0.1/no-such"]}))
    assert f"shows the host key ssh-ed25519 {site.server.fingerprint}" in failure.message


def test_a_certificate_authority_is_told_from_a_pinned_key(site):
    site.repository.commit(PLAN)
    site.known_hosts.write_text(f"@cert-authority {site.server.known_hosts_line}")

    assert_stalled(failure_of(site), "HostKeyUnknown", "@cert-authority", site.server.fingerprint)


def test_a_host_key_that_is_pinned_anew_is_accepted_at_the_next_poll(site):
    commit = site.repository.commit(PLAN)
    site.server.stop()
    site.server.new_host_key()
    site.server.start()
    site.poll()

    site.known_hosts.write_text(site.server.known_hosts_line)

    outcome, _ = site.poll()
    assert (outcome.commit, outcome.failure) == (commit, None)


def test_hashed_known_hosts_with_other_lines_and_cr_lf_are_understood(site):
    commit = site.repository.commit(PLAN)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", site.known_hosts], check=True, capture_output=True)
    lines = ["# cluster", "", "no known_hosts line", *site.known_hosts.read_text().splitlines()]
    site.known_hosts.write_text("\r\n".join(lines) + "\r\n")

    outcome, _ = site.poll()

    assert (outcome.commit, outcome.failure) == (commit, None)


def test_a_revoked_host_key_is_refused(site):
    site.repository.commit(PLAN)
    with site.known_hosts.open("a") as stream:
        stream.write(f"@revoked {site.server.known_hosts_line}")

    assert_stalled(failure_of(site), "HostKeyUnknown", "@revoked", site.server.fingerprint)


def test_a_missing_repository_stalls(site):
    url = site.url.replace("repository.git", "elsewhere.git")

    assert_stalled(failure_of(site, site.config(source={"url": url})), "RepositoryNotFound", url)


def test_a_missing_branch_stalls_and_says_which_there_are(site):
    site.repository.commit(PLAN)

    assert_stalled(failure_of(site, site.config(source={"ref": "production"})), "ReferenceNotFound", "main")


def test_branches_whose_names_are_no_utf8_do_no_harm(site):
    commit = site.repository.commit(PLAN)
    name = b"\xff\xe4"
    subprocess.run([b"git", b"-C", bytes(site.repository.bare), b"branch", name, b"main"], check=True)

    outcome, _ = site.poll()
    assert (outcome.commit, outcome.failure) == (commit, None)

    failure = failure_of(site, site.config(source={"ref": "production"}))
    assert_stalled(failure, "ReferenceNotFound", r"main, \udcff\udce4")


def test_what_the_server_says_reaches_the_message_without_control_characters(site):
    site.server.authorize(site.key.with_suffix(".pub"), r"printf 'repository not found \033[31m\377\n' >&2; exit 1")

    failure = failure_of(site)

    assert_stalled(failure, "RepositoryNotFound", r"not found \x1b[31m\udcff")
    assert failure.message.isprintable()


def test_an_empty_repository_stalls(site):
    assert_stalled(failure_of(site), "ReferenceNotFound", "is empty")


def test_a_fetch_user_that_does_not_exist_stalls(site):
    config = site.config(source={"user": "no-such-user"})

    assert_stalled(failure_of(site, config), "FetchUserMissing", "no-such-user", "sysusers")


def test_fetching_as_root_is_refused(site):
    assert_stalled(failure_of(site, site.config(source={"user": "root"})), "FetchUserMissing", "unprivileged")


@pytest.mark.parametrize("how", ["rewritten", "older", "unrelated"])
def test_a_branch_that_does_not_descend_is_refused_and_the_node_keeps_its_commit(site, how):
    for text in "abc":
        site.repository.commit({"post.sh": text})
    current = site.repository.head
    site.poll()
    match how:
        case "rewritten":
            site.repository.git("reset", "-q", "--hard", "HEAD~2")
            site.repository.commit({"post.sh": "other"})
        case "older":
            site.repository.git("reset", "-q", "--hard", "HEAD~1")
            site.repository.push()
        case "unrelated":
            site.repository.git("checkout", "-q", "--orphan", "new")
            site.repository.commit({"post.sh": "new"})

    for _ in range(2):  # not only at the poll that fetches it
        outcome, _ = site.poll(current=current)

        assert outcome.failure is not None
        assert_stalled(outcome.failure, "NonFastForward", current, site.repository.head, "nodeagent accept")
        assert (outcome.commit, outcome.moved) == (current, False)


def test_a_rewritten_branch_is_refused_although_the_store_is_gone(site):
    site.repository.commit({"post.sh": "a"})
    current = site.repository.commit({"post.sh": "b"})
    site.poll()
    shutil.rmtree(store_path(site.config()))
    site.repository.git("reset", "-q", "--hard", "HEAD~1")
    site.repository.commit({"post.sh": "c"})

    for _ in range(2):
        outcome, _ = site.poll(current=current)

        assert outcome.failure is not None
        assert_stalled(outcome.failure, "NonFastForward", current)
        assert outcome.commit == ""  # the store cannot hand current over


# --- what mends itself -----------------------------------------------------------------------------------------


def test_a_server_that_is_down_is_transient_and_the_commit_stays(site):
    commit = site.repository.commit(PLAN)
    site.poll()
    site.server.stop()

    outcome, events = site.poll(current=commit)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RemoteUnreachable", True)
    assert "Connection refused" in outcome.failure.message
    assert (outcome.commit, outcome.moved) == (commit, False)
    assert events  # every attempt but the last one is told at once
    assert all(isinstance(e, Notice) and (e.priority, e.code) == (4, "RemoteUnreachable") for e in events)


def test_a_name_that_cannot_be_resolved_is_transient(site):
    failure = failure_of(site, site.config(source={"url": "ssh://root@nohost.invalid/repository.git"}, interval=1))

    assert (failure.code, failure.transient) == ("RemoteUnreachable", True)


def test_a_server_that_accepts_and_says_nothing_is_given_up(site):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts; nobody ever reads
        url = f"ssh://root@127.0.0.1:{silent.getsockname()[1]}/repository.git"
        failure = failure_of(site, site.config(source={"url": url, "timeout": 1}))

    assert (failure.code, failure.transient) == ("RemoteUnreachable", True)
    assert "Timed out" in failure.message


def test_a_store_out_of_the_fetch_users_reach_says_so(site):
    site.repository.commit(PLAN)
    site.poll()
    site.config().paths.cache.chmod(0o700)

    failure = failure_of(site)

    assert (failure.code, failure.transient) == ("StoreUnusable", True)
    assert "within its reach" in failure.message


def test_a_full_store_is_transient_and_says_so(site):
    site.repository.commit({"post.sh": os.urandom(300_000)})
    config = site.config(paths={"cache": site.memory / "small"})
    config.paths.cache.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60k,mode=755", "tmpfs", config.paths.cache], check=True)
    try:
        failure = failure_of(site, config)
    finally:
        subprocess.run(["umount", config.paths.cache], check=True)

    assert (failure.code, failure.transient) == ("StoreUnusable", True)
