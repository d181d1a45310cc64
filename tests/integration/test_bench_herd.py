"""``bench/herd`` measures what it says; the figures themselves are judged by people."""

import json
import os
import shutil
import subprocess  # noqa: TID251 - the benchmark is a program
import sys
from pathlib import Path

import pytest

from testbed import documents

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(120)
def test_a_few_nodes_poll_in_each_way_and_one_line_of_json_tells_of_each():
    if os.geteuid() != 0 or shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("needs root and sshd")
    assert "bench/herd" in documents.commands("docs/scaling.md", "herd")
    command = [sys.executable, "bench/herd", "--nodes", "6", "--at-once", "2", "--seconds", "20", "--storm", "3"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = {line["way"]: line for line in map(json.loads, run.stdout.splitlines())}
    assert set(figures) == {"ssh", "https", "beacon", "storm"}
    for way in ("ssh", "https", "beacon"):
        assert (figures[way]["polls"], figures[way]["failed"]) == (6, 0)
        assert figures[way]["server_cpu_ms"] > 0
    assert figures["beacon"]["server_cpu_ms"] < figures["ssh"]["server_cpu_ms"]
    assert figures["storm"]["answered"] == 3


def test_a_way_that_there_is_not_is_refused():
    run = subprocess.run(
        [sys.executable, "bench/herd", "ftp"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "ftp" in run.stderr
