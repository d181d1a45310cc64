"""Fixtures of the apply stage's tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

_FILE = Path(__file__).with_name("memory.py")
_SPEC = importlib.util.spec_from_file_location("apply_memory", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
memory = importlib.util.module_from_spec(_SPEC)
sys.modules["apply_memory"] = memory
_SPEC.loader.exec_module(memory)


@pytest.fixture
def destinations():
    """The ledger, in memory."""
    return memory.Memory()
