"""``bench/copy`` measures what it says; the figures themselves are judged by people."""

import json
import shutil
import subprocess  # noqa: TID251 - the benchmark is a program
import sys
from pathlib import Path

import pytest

from testbed import documents

PROJECT = Path(__file__).resolve().parents[2]


def test_copy_prints_seconds_and_memory_of_each_way_and_phase_as_json(tmp_path):
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    assert "bench/copy" in documents.commands("HACKING.md", "bench")
    command = [sys.executable, "bench/copy", "--files", "60", str(tmp_path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout)
    assert figures["files"] == 60
    assert set(figures[str(tmp_path)]) == {"nodeagent", "rsync", "rsync and sync"}
    for phases in figures[str(tmp_path)].values():
        assert set(phases) == {"first", "same", "one"}
        assert all(wall > 0 and cpu > 0 and memory > 1 for wall, cpu, memory in phases.values())
    assert list(tmp_path.iterdir()) == []
