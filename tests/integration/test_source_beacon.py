"""A beacon from the push to the poll: the hook that the command prints, a web server, a node that asks it."""

import contextlib
import functools
import http.server
import os
import shlex
import signal
import socket
import ssl
import subprocess  # noqa: TID251 - tests drive the real programs
import threading

import pytest

from nodeagent.cli import main
from nodeagent.source import beacon
from nodeagent.source.poll import poll, store_path
from nodeagent.source.trust.history import ANYTHING
from testbed import documents
from testbed.webserver import Authority
from tests.integration.conftest import Recorder

PLAN = {"post.sh": "#!/bin/sh\n"}


@pytest.fixture
def web(place):
    """A web server on loopback; its directory, the beacon's address, and what was asked."""
    with served(place) as found:
        yield found


@contextlib.contextmanager
def served(place, certificate=None):

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    asked = []
    directory = place / "www"
    directory.mkdir(mode=0o755)
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(directory))
    ) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield directory, f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/beacon", asked
        server.shutdown()
        thread.join()


def printed(capsys, *arguments):
    assert main.call(["beacon", *map(str, arguments)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return line


def hooked(site, capsys, file, ref="main"):
    hook = site.repository.bare / "hooks/post-receive"
    hook.write_text(f"#!/bin/sh\n{printed(capsys, file, '--ref', ref)}\n")
    hook.chmod(0o755)


def test_a_push_lights_the_beacon_and_polls_without_news_leave_the_server_alone(site, web, capsys):
    directory, url, asked = web
    hooked(site, capsys, directory / "beacon")
    config = site.config(source={"beacon": url})
    first = site.repository.commit(PLAN)
    assert (directory / "beacon").read_text() == f"{first}\n"

    outcome, _ = site.poll(config)
    assert (outcome.commit, outcome.moved, outcome.by_beacon) == (first, True, False)
    site.server.stop()
    for _ in range(3):
        outcome, events = site.poll(config, first)
        assert (outcome.commit, outcome.moved, outcome.by_beacon, outcome.failure) == (first, False, True, None)
        assert events == []
    assert asked == ["/beacon"] * 3

    site.server.start()
    second = site.repository.commit({"a": "2"})
    outcome, _ = site.poll(config, first)
    assert (outcome.commit, outcome.moved, outcome.by_beacon) == (second, True, False)
    outcome, _ = site.poll(config, second)
    assert outcome.by_beacon


@pytest.mark.parametrize("content", ["", "garbage\n", "f" * 40 + "\n"])
def test_a_beacon_that_lies_has_the_server_asked_and_chooses_nothing(site, web, content):
    directory, url, _ = web
    config = site.config(source={"beacon": url})
    commit = site.repository.commit(PLAN)
    site.poll(config)
    (directory / "beacon").write_text(content)

    outcome, events = site.poll(config, commit)
    assert (outcome.commit, outcome.by_beacon, outcome.failure) == (commit, False, None)
    assert len(events) == 1
    assert url in events[0].text
    assert site.poll(config, commit)[1] == []  # told once


def test_a_beacon_that_stays_behind_only_delays(site, web):
    directory, url, _ = web
    first = site.repository.commit(PLAN)
    (directory / "beacon").write_text(f"{first}\n")
    config = site.config(source={"beacon": url, "beacon_max_age": 3600.0})
    site.poll(config)
    second = site.repository.commit({"a": "2"})
    assert site.poll(config, first)[0].by_beacon

    impatient = site.config(source={"beacon": url, "beacon_max_age": 0.01})
    outcome, _ = site.poll(impatient, first)
    assert (outcome.commit, outcome.by_beacon) == (second, False)


def test_without_a_beacon_that_answers_the_server_is_asked_and_it_is_told_once(site, web):
    _, url, _ = web
    config = site.config(source={"beacon": url})
    commit = site.repository.commit(PLAN)
    site.poll(config)
    outcome, events = site.poll(config, commit)
    assert (outcome.commit, outcome.by_beacon, outcome.failure) == (commit, False, None)
    assert ["answers with 404" in event.text for event in events] == [True]
    assert site.poll(config, commit)[1] == []


def test_by_https_the_beacon_s_server_is_held_against_the_configured_authorities(site, place):
    authority, stranger = Authority(place / "ca"), Authority(place / "other", "Another Authority")
    commit = site.repository.commit(PLAN)
    with served(place, authority.certify("127.0.0.1")) as (directory, url, _):
        (directory / "beacon").write_text(f"{commit}\n")
        config = site.config(source={"beacon": url, "ca_file": authority.file})
        site.poll(config)
        outcome, events = site.poll(config, commit)
        assert (outcome.by_beacon, events) == (True, [])

        config = site.config(source={"beacon": url, "ca_file": stranger.file})
        outcome, events = site.poll(config, commit)
        assert (outcome.commit, outcome.by_beacon, outcome.failure) == (commit, False, None)
        assert ["certificate" in event.text.lower() for event in events] == [True]


def test_a_ca_file_is_read_anew_when_it_changed_and_what_was_taken_out_of_it_is_trusted_no_more(site, place):
    authority, stranger = Authority(place / "ca"), Authority(place / "other", "Another Authority")
    commit = site.repository.commit(PLAN)
    named = place / "authorities/named.pem"
    named.parent.mkdir(mode=0o755)
    with served(place, authority.certify("127.0.0.1")) as (directory, url, _):
        (directory / "beacon").write_text(f"{commit}\n")
        config = site.config(source={"beacon": url, "ca_file": named})
        named.write_bytes(stranger.file.read_bytes())
        beacon.warm(config)  # as the daemon does, which forks the polls
        named.write_bytes(authority.file.read_bytes())
        site.poll(config)
        assert site.poll(config, commit)[0].by_beacon

        beacon.warm(config)
        named.parent.chmod(0o700)  # the fetch user may not look
        assert site.poll(config, commit)[0].by_beacon
        named.parent.chmod(0o755)
        named.unlink()
        named.write_bytes(stranger.file.read_bytes())
        assert not site.poll(config, commit)[0].by_beacon


def test_a_store_that_is_gone_is_filled_again_whatever_the_beacon_says(site, web):
    directory, url, _ = web
    config = site.config(source={"beacon": url})
    commit = site.repository.commit(PLAN)
    (directory / "beacon").write_text(f"{commit}\n")
    site.poll(config)
    subprocess.run(["rm", "-r", store_path(config)], check=True)
    outcome, _ = site.poll(config, commit)
    assert (outcome.commit, outcome.by_beacon) == (commit, False)
    assert site.poll(config, commit)[0].by_beacon


def test_a_refused_history_stays_refused_though_the_beacon_is_content(site, web):
    directory, url, _ = web
    config = site.config(source={"beacon": url, "beacon_max_age": 3600.0})
    old = site.repository.commit(PLAN)
    new = site.repository.commit({"a": "2"})
    site.poll(config)
    site.repository.git("reset", "-q", "--hard", old)
    site.repository.push()
    (directory / "beacon").write_text(f"{old}\n")
    assert site.poll(config, new)[0].failure.code == "NonFastForward"
    (directory / "beacon").write_text(f"{new}\n")
    assert site.poll(config, new)[0].failure.code == "NonFastForward"


def test_after_a_poll_that_was_killed_while_it_asked_the_server_is_asked_though_the_beacon_is_content(site, place):
    file = place / "beacon"
    config = site.config(source={"beacon": str(file)})
    commit = site.repository.commit(PLAN)
    file.write_text(f"{'f' * 40}\n")
    site.poll(config)
    site.server.stop()
    with socket.create_server(("127.0.0.1", site.server.port)) as silent:
        silent.settimeout(20)
        pid = os.fork()
        if pid == 0:
            try:
                poll(config, commit, threading.Event(), Recorder(), None, standing=ANYTHING)
            finally:
                os._exit(0)
        with contextlib.ExitStack() as ends:
            ends.callback(os.waitpid, pid, 0)
            ends.callback(os.kill, pid, signal.SIGKILL)
            asked = silent.accept()[0]
        asked.close()
    site.server.start()
    file.write_text(f"{commit}\n")
    assert [site.poll(config, commit)[0].by_beacon for _ in range(2)] == [False, True]


def test_a_file_that_the_node_mounts_serves_as_well(site, place, capsys):
    (place / "mounted").mkdir(mode=0o755)
    file = place / "mounted/it's 100% beacon"
    hooked(site, capsys, file)
    config = site.config(source={"beacon": str(file)})
    commit = site.repository.commit(PLAN)
    site.poll(config)
    site.server.stop()
    outcome, _ = site.poll(config, commit)
    assert (outcome.commit, outcome.by_beacon, outcome.failure) == (commit, True, None)


def test_the_hook_follows_a_tag_to_its_commit_and_fails_no_push(site, place, capsys):
    hooked(site, capsys, place / "beacon", "refs/tags/v1")
    site.repository.commit(PLAN)
    assert not (place / "beacon").exists()
    commit = site.repository.head
    site.repository.git("tag", "-a", "v1", "-m", "One")
    site.repository.git("push", "-q", site.repository.bare, "v1")
    assert (place / "beacon").read_text() == f"{commit}\n"
    assert (place / "beacon").stat().st_mode & 0o777 == 0o644


def test_the_line_for_a_crontab_asks_any_server(site, place, capsys):
    commit = site.repository.commit(PLAN)
    site.repository.git("tag", "-a", "v1", "-m", "One")
    site.repository.git("push", "-q", site.repository.bare, "v1")
    for ref in ("main", "refs/tags/v1"):
        file = place / f"at 100%/{ref.rpartition('/')[2]}"
        file.parent.mkdir(exist_ok=True)
        line = printed(capsys, file, "--ref", ref, "--cron", site.repository.bare)
        assert line.startswith("* * * * * c=")
        line = line[10:].replace(r"\%", "%")
        subprocess.run(["sh", "-c", line], check=True)
        assert file.read_text() == f"{commit}\n"
        subprocess.run(["sh", "-c", line.replace(str(site.repository.bare), "/nowhere")], check=False)
        assert file.read_text() == f"{commit}\n"  # a server that is away leaves it as it is


def test_the_commands_of_the_documents_print_one_line_each(capsys):
    for line in documents.commands("docs/source.md", "beacon").splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "nodeagent"
        assert main.call(arguments) == 0
        assert "/install/nodeagent/beacon" in capsys.readouterr().out


def test_a_path_that_depends_on_where_a_hook_runs_is_refused(capsys):
    with pytest.raises(SystemExit):
        main.call(["beacon", "www/beacon"])
    assert "whole path" in capsys.readouterr().err
