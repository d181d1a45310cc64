"""``bench/native-call`` measures what it says; the figures themselves are judged by people."""

import json
import subprocess  # noqa: TID251 - the benchmark is a program
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_native_call_prints_microseconds_of_each_shell_as_json():
    command = [sys.executable, "bench/native-call", "--calls", "200"]
    figures = json.loads(subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=50).stdout)
    assert figures["calls"] == 200
    for shell in ("dash", "bash"):
        assert 0 < figures[shell]["skip_us"] < 5000
        assert 0 < figures[shell]["log_us"] < 5000
