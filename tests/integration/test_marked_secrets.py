"""A password and a key that can be told from all else are looked for wherever the daemon could have left them."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.programs import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = {
    "file": {"/run/nodeagent.password": ["password", "0600"]},
    "command": {},
    "credential": {"/run/credentials/nodeagent.service/nodeagent.password": ["password", "0600"]},
    "key": {"/run/credentials/nodeagent.service/nodeagent.key": ["key", "0400"]},
    "wrong": {"/run/nodeagent.password": ["wrong password", "0600"]},
    "damaged": {"/run/nodeagent.password": ["password", "0600"]},
}
"""Each with the files in which the node was given its secret."""

KEPT = re.compile(r"/run/nodeagent/private/deploy_key\.[0-9-]+")


@pytest.fixture(scope="module", params=SOURCES)
def life(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A source, and what was found in the life of a daemon that has its secrets from there."""
    needed = ("sshd", "git", "openssl", "unshare", "setpriv")
    missing = [name for name in needed if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root, {', '.join(needed)}")
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": "1"}
    told = run([sys.executable, PROJECT / "testbed/marked.py", request.param], env=environment)
    return request.param, json.loads(told)


def test_the_secrets_stand_in_no_file_but_where_they_were_given_and_where_the_open_key_is_kept(life):
    source, found = life
    kept = {path: held for path, held in found["files"].items() if KEPT.fullmatch(path)}
    assert set(map(tuple, kept.values())) == (
        {("key", "0400")} if source in {"file", "command", "credential"} else set()
    )
    assert {path: held for path, held in found["files"].items() if path not in kept} == SOURCES[source]


def test_after_a_stop_the_open_key_is_gone(life):
    source, found = life
    assert found["files after a stop"] == SOURCES[source]


def test_no_command_line_and_no_environment_ever_holds_one(life):
    _, found = life
    assert found["looked at"] > 5
    assert found["processes"] == []


def test_no_line_of_the_log_holds_one(life):
    _, found = life
    assert found["said"]
    assert found["log"] == []


def test_the_resting_daemon_knows_neither_password_nor_key(life):
    """Nor does its core, if this machine makes cores: that was searched with the other files."""
    _, found = life
    assert found["resting"] == []
    assert len(found["cores of the daemon"]) <= 1


def test_a_poll_knows_the_key_alone_and_leaves_no_core(life):
    source, found = life
    if source in {"wrong", "damaged"}:
        assert "poll" not in found
    else:
        assert found["poll"] == ["key"]
        assert found["cores of the poll"] == []
        assert "nodeagent: poll worker: killed by signal 6 (Aborted)" in found["said"]
