"""``bench/no-news`` measures what it says; the figures themselves are judged by people."""

import json
import os
import shutil
import subprocess  # noqa: TID251 - the benchmark is a program
import sys
from pathlib import Path

import pytest

from testbed import documents

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("options", [[], ["--beacon"]])
def test_no_news_prints_cpu_and_memory_as_json(options: list[str]) -> None:
    if os.geteuid() != 0 or shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("needs root and sshd")
    assert "make bench" in documents.commands("HACKING.md", "bench")
    command = [sys.executable, "bench/no-news", "--cycles", "5", *options]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=170)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout)
    assert figures["cycles"] == 5
    assert 0 < figures["cpu_ms_min"] <= figures["cpu_ms"] <= figures["cpu_ms_max"]
    assert figures["rss_mib"] > 10
    assert figures["destinations"] > 0
