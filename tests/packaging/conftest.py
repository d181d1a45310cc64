"""What the build makes, made once for all tests of this directory."""

import os
import sys
from pathlib import Path

import pytest

from testbed.programs import run

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make man`` writes."""
    target = tmp_path_factory.mktemp("pages")
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}/packaging:{PROJECT}"}
    run([sys.executable, "-m", "pages", target], env=environment)
    return target
