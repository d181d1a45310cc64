"""A poll that may ask several servers, of every kind: which one it follows, and what it says of the others.

The first one is the site's sshd; the mirrors are HTTPS servers, another sshd, and paths.
"""

import json
import multiprocessing
import shutil
import socket
import time

import pytest

from nodeagent.source.poll import store_path
from nodeagent.source.remote.mirrors import ASIDE
from testbed.webserver import Authority, WebServer

PLAN = {"post.sh": "#!/bin/sh\n", "files/motd": "welcome\n"}


@pytest.fixture
def authority(place):
    return Authority(place / "authority")


@pytest.fixture
def web(site, authority, place):
    (place / "copies").mkdir()
    with WebServer(place / "copies", authority.certify("127.0.0.1")) as server:
        yield server


@pytest.fixture
def copy(site, place, web):
    """What the HTTPS mirror has: ``copy()`` makes it what the first server has now."""

    def update(name="mirror.git"):
        target = place / "copies" / name
        shutil.rmtree(target, ignore_errors=True)
        return shutil.copytree(site.repository.bare, target)

    return update


@pytest.fixture
def node(site, web, authority):
    """A configuration with the mirror."""

    def made(**source):
        wanted = {"mirrors": [web.url("mirror.git")], "ca_file": authority.file, "connect_timeout": 2.0, "timeout": 2.0}
        return site.config(source={**wanted, **source}, interval=1.0)

    return made


def codes(events):
    return [(event.priority, event.code) for event in events]


def rewrite(repository):
    repository.git("reset", "-q", "--hard", "HEAD~1")
    return repository.commit({"files/motd": "another history\n"})


def test_as_long_as_the_first_server_answers_no_mirror_is_asked(site, web, copy, node):
    commit = site.repository.commit(PLAN)
    copy()

    outcome, events = site.poll(node())

    assert (outcome.commit, outcome.failure, events) == (commit, None, [])
    assert web.requests == []
    assert not store_path(node()).with_name("mirrors.json").exists()


def test_a_mirror_is_followed_while_the_first_server_is_down_which_is_told_once(site, web, copy, node):
    current = site.repository.commit(PLAN)
    site.poll(node())
    newest = site.repository.commit({"files/motd": "hello\n"})
    copy()
    site.server.stop()

    outcome, events = site.poll(node(), current)

    assert (outcome.commit, outcome.moved, outcome.failure) == (newest, True, None)
    assert codes(events) == [(4, "RemoteUnreachable")]
    assert site.url in events[0].text
    assert web.url("mirror.git") in events[0].text
    assert site.poll(node(), newest)[1] == []


def test_a_node_boots_from_a_mirror(site, copy, node):
    commit = site.repository.commit(PLAN)
    copy()
    site.server.stop()

    outcome, _ = site.poll(node())

    assert (outcome.commit, outcome.moved, outcome.failure) == (commit, True, None)


def test_a_first_server_that_hangs_costs_its_time_once_and_is_asked_again_after_a_while(site, copy, node):
    commit = site.repository.commit(PLAN)
    copy()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        port = silent.getsockname()[1]
        url = f"ssh://root@127.0.0.1:{port}/repository.git"
        config = node(
            url=url, host_keys=[site.known_hosts.read_text().strip().replace(f":{site.server.port}", f":{port}")]
        )
        outcome, events = site.poll(config)
        assert (outcome.commit, outcome.failure) == (commit, None)
        assert codes(events) == [(4, "RemoteUnreachable")]
        silent.accept()[0].close()

        outcome, events = site.poll(config, commit)
        assert (outcome.commit, outcome.failure, events) == (commit, None, [])
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()  # nobody came

        memory = store_path(config).with_name("mirrors.json")
        assert json.loads(memory.read_text()).keys() == {url}
        memory.write_text(json.dumps({url: time.time() - ASIDE}))
        _, events = site.poll(config, commit)
        assert codes(events) == [(4, "RemoteUnreachable")]


def test_a_first_server_that_held_a_poll_up_until_it_was_killed_is_asked_last(site, copy, node):
    commit = site.repository.commit(PLAN)
    copy()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        url = f"ssh://root@127.0.0.1:{silent.getsockname()[1]}/repository.git"
        config = node(url=url, timeout=60.0, connect_timeout=60.0)
        poll = multiprocessing.get_context("fork").Process(target=site.poll, args=(config,))
        poll.start()
        connection = silent.accept()[0]
        poll.kill()
        poll.join()
        connection.close()

    outcome, events = site.poll(config)

    assert (outcome.commit, outcome.failure, events) == (commit, None, [])


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"x": 1, "y": "z"}', '{"URL": 1e300}', '{"URL": null}'])
def test_a_damaged_memory_of_what_failed_is_none(site, copy, node, damage):
    commit = site.repository.commit(PLAN)
    copy()
    site.poll(node())
    store_path(node()).with_name("mirrors.json").write_text(damage.replace("URL", site.url))

    outcome, events = site.poll(node(), commit)

    assert (outcome.commit, outcome.failure, events) == (commit, None, [])


@pytest.mark.parametrize("told", ["is behind what this node stands at;", "is behind what this node stands at, or"])
def test_a_mirror_that_is_behind_never_moves_the_node_back_and_is_no_error(site, copy, node, told):
    first = site.repository.commit(PLAN)
    copy()
    if told.endswith(";"):
        site.poll(node())  # else the store does not reach back to what the mirror has
    current = site.repository.commit({"files/motd": "hello\n"})
    site.poll(node(), first if told.endswith(";") else "")
    site.server.stop()

    outcome, events = site.poll(node(), current)

    assert (outcome.commit, outcome.moved, outcome.failure) == (current, False, None)
    assert codes(events) == [(4, "RemoteUnreachable"), (6, "")]
    assert told in events[1].text


def test_where_the_first_server_is_behind_the_mirror_is_followed(site, copy, node):
    site.repository.commit(PLAN)
    old = site.repository.head
    current = site.repository.commit({"files/motd": "hello\n"})
    site.poll(node())
    newest = site.repository.commit({"files/motd": "hello again\n"})
    copy()
    site.repository.git("reset", "-q", "--hard", old)
    site.repository.push()

    outcome, events = site.poll(node(), current)

    assert (outcome.commit, outcome.moved, outcome.failure) == (newest, True, None)
    assert codes(events) == [(6, "")]


def test_where_all_servers_are_behind_the_branch_went_back(site, copy, node):
    old = site.repository.commit(PLAN)
    current = site.repository.commit({"files/motd": "hello\n"})
    site.poll(node())
    site.repository.git("reset", "-q", "--hard", old)
    site.repository.push()
    copy()

    outcome, _ = site.poll(node(), current)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.commit) == ("NonFastForward", current)
    assert site.url in outcome.failure.message


@pytest.mark.parametrize("which", ["the first", "the mirror"])
def test_a_server_with_another_history_is_named_in_the_refusal_whatever_the_others_have(site, web, copy, node, which):
    site.repository.commit(PLAN)
    site.poll(node())
    current = site.repository.commit({"files/motd": "hello\n"})
    site.poll(node(), site.repository.git("rev-parse", "HEAD~1"))
    if which == "the first":
        copy()
        rewrite(site.repository)
    else:
        rewrite(site.repository)
        copy()
        site.server.stop()

    outcome, _ = site.poll(node(), current)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient, outcome.commit) == ("NonFastForward", False, current)
    assert (site.url if which == "the first" else web.url("mirror.git")) in outcome.failure.message


def test_a_poll_fails_only_if_all_servers_fail_and_then_names_each_with_its_reason(site, web, copy, node, place):
    current = site.repository.commit(PLAN)
    copy()
    site.poll(node())
    site.server.stop()
    nowhere = "/no/such/repository.git"
    other = Authority(place / "other", "Somebody Else")
    config = node(mirrors=[web.url("mirror.git"), nowhere], ca_file=other.file)

    outcome, _ = site.poll(config, current)

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("RemoteUnreachable", True)
    for text in (site.url, "Connection refused", web.url("mirror.git"), "CN=Site Authority", nowhere, "No such file"):
        assert text in outcome.failure.message
    assert (outcome.commit, outcome.moved) == (current, False)


def test_where_a_person_must_mend_every_server_the_error_is_not_transient(site, node):
    site.repository.commit(PLAN)
    site.known_hosts.write_text("")

    outcome, _ = site.poll(node(mirrors=["/no/such/repository.git"]))

    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.transient) == ("HostKeyUnknown", False)


def test_the_host_keys_of_each_ssh_server_are_asked_for(site, place, node):
    commit = site.repository.commit(PLAN)
    dead = "ssh://root@127.0.0.1:1/repository.git"

    outcome, events = site.poll(node(url=dead, mirrors=[site.url]))

    assert (outcome.commit, outcome.failure) == (commit, None)
    assert codes(events) == [(4, "RemoteUnreachable")]


def test_a_commit_by_name_comes_from_the_mirror_that_has_it(site, copy, node):
    first = site.repository.commit(PLAN)
    site.repository.git("tag", "v1")
    site.repository.git("push", "-q", site.repository.bare, "v1")
    copy()
    site.repository.git("push", "-q", site.repository.bare, ":refs/tags/v1")

    outcome, events = site.poll(node(ref="v1"))

    assert (outcome.commit, outcome.failure) == (first, None)
    assert codes(events) == [(4, "ReferenceNotFound")]
