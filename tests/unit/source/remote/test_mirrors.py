import json
import time

import pytest

from nodeagent.errors import HostKeyMismatch, RemoteUnreachable, RepositoryNotFound
from nodeagent.source.remote.mirrors import ASIDE, Servers, none_left

URLS = ("ssh://one/r", "https://two/r", "/three")


def test_servers_are_asked_in_the_configured_order(tmp_path):
    assert list(Servers(URLS, tmp_path / "memory").order()) == list(URLS)


def test_what_failed_is_asked_last_for_a_while(tmp_path):
    Servers(URLS, tmp_path / "memory").set_aside([URLS[0]])

    assert list(Servers(URLS, tmp_path / "memory").order()) == [URLS[1], URLS[2], URLS[0]]
    Servers(URLS, tmp_path / "memory").set_aside([URLS[1]])
    assert list(Servers(URLS, tmp_path / "memory").order()) == [URLS[2], URLS[0], URLS[1]]


def test_a_memory_that_is_old_or_from_the_future_does_not_count(tmp_path):
    now = time.time()
    for at in (now - ASIDE - 1, now + 60, True, "x", None, [1]):
        (tmp_path / "memory").write_text(json.dumps({URLS[0]: at}))
        assert list(Servers(URLS, tmp_path / "memory").order()) == list(URLS)


@pytest.mark.parametrize("memory", ["", "[]", "{", "[" * 60_000])
def test_a_memory_that_is_none_is_no_memory(tmp_path, memory):
    (tmp_path / "memory").write_text(memory)
    assert list(Servers(URLS, tmp_path / "memory").order()) == list(URLS)


def test_servers_that_are_configured_no_more_are_forgotten(tmp_path):
    Servers(URLS, tmp_path / "memory").set_aside(URLS[:2])
    Servers(URLS[1:], tmp_path / "memory").set_aside([URLS[2]])

    assert json.loads((tmp_path / "memory").read_text()).keys() == {URLS[1], URLS[2]}


def test_one_server_alone_has_no_memory(tmp_path):
    Servers(URLS[:1], tmp_path / "memory").set_aside(URLS[:1])

    assert list(tmp_path.iterdir()) == []


def test_a_memory_that_cannot_be_written_is_done_without(tmp_path):
    Servers(URLS, tmp_path / "missing/memory").set_aside(URLS[:1])


def test_the_error_of_all_is_transient_if_one_of_them_is_and_names_each_once():
    mismatch, lost = HostKeyMismatch("one: another key"), RemoteUnreachable("https://two/r: refused")

    both = none_left({URLS[0]: mismatch, URLS[1]: lost})
    assert isinstance(both, RemoteUnreachable)
    assert str(both).count("https://two/r") == 1
    assert "ssh://one/r: one: another key" in str(both)
    assert isinstance(none_left({URLS[0]: mismatch, URLS[2]: RepositoryNotFound("gone")}), HostKeyMismatch)
    assert none_left({URLS[0]: mismatch}) is mismatch


def test_a_server_that_was_being_asked_when_the_process_ended_is_asked_last(tmp_path):
    with Servers(URLS, tmp_path / "memory").asked(URLS[0]):
        killed = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert list(tmp_path.iterdir()) == []

    for name, text in killed.items():
        (tmp_path / name).write_text(text)
    for _ in range(2):
        assert list(Servers(URLS, tmp_path / "memory").order()) == [URLS[1], URLS[2], URLS[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["memory"]


def test_one_server_alone_leaves_no_trace_while_it_is_asked(tmp_path):
    with Servers(URLS[:1], tmp_path / "memory").asked(URLS[0]):
        assert list(tmp_path.iterdir()) == []
