"""``make demo``: the second of README's commands that is worth running here, ``make test`` being the other."""

import os
import shutil
import subprocess  # noqa: TID251 - the demo is a program
import sys
from pathlib import Path

import pytest

from testbed import documents

PROJECT = Path(__file__).resolve().parents[2]
NEEDED = ("unshare", "sshd", "git", "openssl", "rsync")


def needs_sandbox() -> None:
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if missing := [program for program in NEEDED if shutil.which(program, path=search) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("needs root, for namespaces and an overlay of /")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_claim_of_the_demo_holds_and_it_leaves_nothing_behind() -> None:
    needs_sandbox()
    assert "make demo" in documents.commands("README.md", "try")
    mounts = Path("/proc/self/mountinfo").read_text()
    shown = subprocess.run(
        [sys.executable, "demo/demo.py"], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=280
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.splitlines()[-1].startswith("all ")
    assert "NOT TRUE" not in shown.stdout
    assert Path("/proc/self/mountinfo").read_text() == mounts
