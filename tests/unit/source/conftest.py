"""Fixtures of the source stage's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory on tmpfs."""
    directory = Path(tempfile.mkdtemp(prefix="nodeagent-test-", dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A directory that is not on tmpfs."""
    directory = Path(tempfile.mkdtemp(prefix="nodeagent-test-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory)
