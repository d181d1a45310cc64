"""The beacon by file and by HTTP, from a real server on loopback."""

import http.server
import itertools
import json
import os
import threading
import time
from pathlib import Path

import pytest

from nodeagent.config import Config
from nodeagent.source import beacon
from nodeagent.source.beacon import Beacon, BeaconError

COMMIT, OTHER = "a" * 40, "b" * 40


class Server(http.server.ThreadingHTTPServer):
    """Answers with ``answer(handler)``; what was asked stands in ``asked``."""

    daemon_threads = True

    def __init__(self) -> None:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("If-None-Match")))
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.asked: list[tuple[str, str | None]] = []
        self.answer = say(COMMIT)
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/beacon"


def say(text, status=200, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(f"{text}\n".encode())

    return answer


@pytest.fixture
def server():
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def at(url, directory, *, asked=COMMIT, **settings) -> Beacon:
    """A beacon of a node whose server said just now that the ref is at this commit."""
    source = {"url": "git@git.example:configs", "beacon": str(url), "connect_timeout": 2.0, **settings}
    config = Config.model_validate({"source": source})
    if asked:
        Beacon(config, directory).answered(asked)
    return Beacon(config, directory)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_that_says_the_commit_confirms_it_and_no_other(tmp_path, scheme):
    file = tmp_path / "beacon"
    file.write_text(f"{COMMIT}\n")
    light = at(f"{scheme}{file}", tmp_path)
    assert light.confirms(COMMIT)
    file.write_text(f"{OTHER}\tmain\n")
    assert not light.confirms(COMMIT)
    assert light.heard == OTHER


def test_an_address_of_a_file_is_decoded_as_that_of_the_repository_is_and_a_path_is_not(tmp_path):
    (tmp_path / "a beacon").write_text(f"{COMMIT}\n")
    (tmp_path / "a%20beacon").write_text(f"{OTHER}\n")
    for address, said in ((f"file://{tmp_path}/a%20beacon", COMMIT), (f"{tmp_path}/a%20beacon", OTHER)):
        assert at(address, tmp_path, asked=said).confirms(said)
    assert beacon.path(f"file://{tmp_path}/a%20beacon") == str((tmp_path / "a beacon").resolve())


def test_the_server_is_asked_first_and_again_once_the_age_is_over_or_the_clock_was_set(tmp_path, monkeypatch):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    file = tmp_path / "beacon"
    monkeypatch.setattr(beacon.random, "uniform", lambda least, most: most)
    assert not at(file, tmp_path, asked="").confirms(COMMIT)
    light = at(file, tmp_path, beacon_max_age=60.0)
    assert light.confirms(COMMIT)
    now = time.time()
    for moment, young in ((now + 59, True), (now + 61, False), (now - 61, False)):
        monkeypatch.setattr(beacon.time, "time", lambda moment=moment: moment)
        assert light.confirms(COMMIT) is young


def test_nodes_that_asked_the_server_together_do_not_ask_it_together_again(tmp_path, monkeypatch):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    lights = []
    for number in range(100):
        (tmp_path / str(number)).mkdir()
        lights.append(at(tmp_path / "beacon", tmp_path / str(number), beacon_max_age=1000.0))
    now = time.time()
    spared = []
    for later in (490, 600, 700, 800, 900, 1001):
        monkeypatch.setattr(beacon.time, "time", lambda later=later: now + later)
        spared.append(sum(light.confirms(COMMIT) for light in lights))
    assert spared[0] == 100
    assert spared[-1] == 0
    assert all(before - after > 5 for before, after in itertools.pairwise(spared))


def test_a_shorter_age_holds_at_once(tmp_path, monkeypatch):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    at(tmp_path / "beacon", tmp_path)
    now = time.time()
    monkeypatch.setattr(beacon.time, "time", lambda: now + 20)
    assert at(tmp_path / "beacon", tmp_path, asked="").confirms(COMMIT)
    assert not at(tmp_path / "beacon", tmp_path, asked="", beacon_max_age=10.0).confirms(COMMIT)


def test_what_the_server_was_not_asked_about_is_not_confirmed(tmp_path):
    (tmp_path / "beacon").write_text(f"{OTHER}\n")
    assert not at(tmp_path / "beacon", tmp_path).confirms(OTHER)


def test_after_a_failure_the_server_is_asked_until_it_answers(tmp_path):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    light = at(tmp_path / "beacon", tmp_path)
    light.asking()
    assert not light.confirms(COMMIT)
    light.answered(COMMIT)
    assert light.confirms(COMMIT)


def test_another_source_or_beacon_begins_anew(tmp_path):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    at(tmp_path / "beacon", tmp_path)
    assert at(tmp_path / "beacon", tmp_path, asked="").confirms(COMMIT)
    assert not at(tmp_path / "beacon", tmp_path, asked="", ref="other").confirms(COMMIT)


@pytest.mark.parametrize(
    "memory", ["", "[]", "{}", '{"asked": "now"}', '{"commit": 1}', '{"new": ""}', "\0", "[" * 16_000]
)
def test_a_memory_that_is_none_is_no_memory(tmp_path, memory):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    at(tmp_path / "beacon", tmp_path)
    (tmp_path / "beacon.json").write_text(memory)
    assert not at(tmp_path / "beacon", tmp_path, asked="").confirms(COMMIT)


@pytest.mark.parametrize(
    "content", [b"", b"\n", COMMIT.encode(), b"a" * 41 + b"\n", b"main " + COMMIT.encode(), b"\xff" * 9000]
)
def test_garbage_is_no_commit(tmp_path, content):
    (tmp_path / "beacon").write_bytes(content)
    with pytest.raises(BeaconError, match="40 hexadecimal digits"):
        at(tmp_path / "beacon", tmp_path).confirms(COMMIT)


def test_a_tag_that_is_none_is_not_sent(tmp_path, server):
    for tag in ("one\r\nHost: elsewhere", "\u2603"):
        at(server.url, tmp_path)
        memory = json.loads((tmp_path / "beacon.json").read_text())
        (tmp_path / "beacon.json").write_text(json.dumps({**memory, "tag": tag, "said": COMMIT}))
        assert not at(server.url, tmp_path, asked="").confirms(COMMIT)
    assert server.asked == []


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "beacon")
    with pytest.raises(BeaconError, match="40 hexadecimal digits"):
        at(tmp_path / "beacon", tmp_path).confirms(COMMIT)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BeaconError, match="No such file"):
        at(tmp_path / "beacon", tmp_path).confirms(COMMIT)


def test_an_unchanged_answer_need_not_be_sent_again(tmp_path, server):
    server.answer = say(COMMIT, ETag='"one"')
    assert at(server.url, tmp_path).confirms(COMMIT)
    server.answer = say("", 304)
    assert at(server.url, tmp_path, asked="").confirms(COMMIT)
    server.answer = say(OTHER, ETag='"two"')
    assert not at(server.url, tmp_path, asked="").confirms(COMMIT)
    assert server.asked == [("/beacon", None), ("/beacon", '"one"'), ("/beacon", '"one"')]


def test_a_redirect_is_followed_on_the_same_host_only_and_not_for_ever(tmp_path, server):
    def answer(handler):
        say(COMMIT)(handler) if handler.path == "/there" else say("", 302, Location="/there")(handler)

    server.answer = answer
    assert at(server.url, tmp_path).confirms(COMMIT)
    for location in (f"http://localhost:{server.server_port}/there", "https://127.0.0.1/", "file:///PATH"):
        server.answer = say("", 301, Location=location)
        with pytest.raises(BeaconError, match="not followed"):
            at(server.url, tmp_path).confirms(COMMIT)
    server.asked.clear()
    server.answer = say("", 302, Location="/again")
    with pytest.raises(BeaconError, match="302"):
        at(server.url, tmp_path).confirms(COMMIT)
    assert len(server.asked) == 4


@pytest.mark.parametrize("location", ["http://[", "/\xe9"])
def test_a_redirect_to_what_is_no_address_is_an_error(tmp_path, server, location):
    server.answer = say("", 302, Location=location)
    with pytest.raises(BeaconError, match="no address"):
        at(server.url, tmp_path).confirms(COMMIT)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (say(COMMIT, 404), "404"),
        (say(COMMIT, 500), "500"),
        (say(COMMIT, 304), "304"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n"), "no answer in HTTP"),
        (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "no answer in HTTP"),
        (lambda handler: None, "closed connection"),
    ],
)
def test_any_other_answer_is_an_error(tmp_path, server, answer, text):
    server.answer = answer
    with pytest.raises(BeaconError, match=text):
        at(server.url, tmp_path).confirms(COMMIT)


def test_a_server_that_sends_byte_by_byte_is_given_up_in_time(tmp_path, server):
    ended = threading.Event()

    def drip(handler):
        try:
            while not ended.wait(0.05):
                handler.wfile.write(b"H")
                handler.wfile.flush()
        except OSError:
            pass

    server.answer = drip
    try:
        with pytest.raises(BeaconError, match=r"no whole answer within 0\.3 s"):
            at(server.url, tmp_path, connect_timeout=0.3).confirms(COMMIT)
    finally:
        ended.set()


def test_an_endless_answer_is_read_as_far_as_a_commit_can_reach(tmp_path, server):
    def flood(handler):
        say(COMMIT)(handler)
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    server.answer = flood
    assert at(server.url, tmp_path).confirms(COMMIT)


def test_nobody_there_is_an_error(tmp_path, server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(BeaconError, match="refused"):
        at(url, tmp_path).confirms(COMMIT)


def test_the_same_trouble_is_news_once(tmp_path):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    light = at(tmp_path / "beacon", tmp_path)
    assert light.is_news("gone")
    assert not at(tmp_path / "beacon", tmp_path, asked="").is_news("gone")
    assert at(tmp_path / "beacon", tmp_path, asked="").confirms(COMMIT)
    assert at(tmp_path / "beacon", tmp_path, asked="").is_news("gone")


def test_a_full_disk_only_has_the_server_asked(tmp_path):
    (tmp_path / "beacon").write_text(f"{COMMIT}\n")
    assert not at(tmp_path / "beacon", Path("/proc/nowhere")).confirms(COMMIT)
