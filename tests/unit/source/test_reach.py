import sys
from pathlib import Path

import pytest

from nodeagent.source import reach

PACKAGE = Path(reach.__file__).parents[1]


@pytest.fixture(autouse=True)
def _afresh():
    reach._libraries.cache_clear()
    yield
    reach._libraries.cache_clear()


def readable(path):
    return any(Path(path).is_relative_to(above) for above in reach._libraries())


@pytest.mark.parametrize("first", ["/", "", "."])
def test_called_in_the_top_directory_a_worker_may_not_read_all_of_the_node(monkeypatch, first):
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "path", [first, *sys.path])
    assert not readable("/etc/shadow")


def test_the_directory_that_it_is_called_in_is_not_read_for_its_modules(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert not readable(tmp_path)


def test_the_agents_own_modules_are_readable_though_it_is_called_beside_them(monkeypatch):
    monkeypatch.chdir(PACKAGE.parent)
    monkeypatch.setattr(sys, "path", [str(PACKAGE.parent), *sys.path])
    assert readable(PACKAGE / "source/remote/certificate.py")
    assert not readable(PACKAGE.parent / ".git")
