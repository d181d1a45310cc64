"""The verbs of a person, on a node that follows by HTTPS with a token and no deploy key, while a mirror stands in."""

import json

import pytest

from nodeagent.cli import main
from testbed.webserver import Authority, WebServer

TOKEN = "glpat-0123456789"


@pytest.fixture
def node(site, place):
    """Its configuration file: the first server is one that is down, the second wants the token."""
    authority = Authority(place / "authority")
    token = site.memory / "login"
    token.touch(mode=0o600)
    token.write_text(TOKEN + "\n")
    paths = site.config().paths
    file = site.directory / "nodeagent.toml"
    with WebServer(site.repository.bare.parent, authority.certify("127.0.0.1"), login=("git", TOKEN)) as web:
        file.write_text(
            'jobs.probe = "none"\nfirst_start = "apply"\ninterval = 1\nretry_delay = 0.1\n'
            f'[source]\nurl = "https://127.0.0.1:1/repository.git"\nmirrors = ["{web.url("repository.git")}"]\n'
            f'ca_file = "{authority.file}"\nuser = "nobody"\nkey = "/no/key"\nknown_hosts = "/no/hosts"\n'
            f'checkout = "{site.directory / "configs"}"\nconnect_timeout = 2\ntimeout = 5\n'
            f'[login]\nfile = "{token}"\n'
            f'[paths]\nstate = "{paths.state}"\ncache = "{paths.cache}"\nruntime = "{paths.runtime}"\n'
        )
        yield file


def verb(node, *words):
    return main.call([words[0], "--config", str(node), *words[1:]])


def test_apply_plan_and_accept_ask_whoever_answers(site, node, capfd):
    target = site.directory / "motd"
    copy = f'#!/bin/sh\nCOPY() {{ rsync -a "$1" "$2"; }}\nCOPY files/motd {target}\n'
    site.repository.commit({"post.sh": copy, "files/motd": "one\n"})
    assert verb(node, "apply") == 0
    site.repository.commit({"files/motd": "two\n"})
    assert verb(node, "apply") == 0
    assert target.read_text() == "two\n"

    site.repository.git("checkout", "-q", "-b", "next")
    site.repository.write({"files/motd": "next\n"})
    site.repository.git("commit", "-q", "--all", "-m", "Say next")
    site.repository.push("next")
    capfd.readouterr()
    assert verb(node, "plan", "--ref", "next", "--json") == 2
    assert [change["path"] for change in json.loads(capfd.readouterr().out)["changes"]] == [str(target)]

    site.repository.git("checkout", "-q", "-B", "main", "main~1")
    rewritten = site.repository.commit({"files/motd": "another\n"})
    assert verb(node, "apply") == 1
    assert f"nodeagent accept {rewritten}" in capfd.readouterr().err
    assert verb(node, "accept", rewritten, "--reason", "meant", "--yes") == 0
    assert verb(node, "apply") == 0
    assert target.read_text() == "another\n"
    assert TOKEN not in "".join(capfd.readouterr())
