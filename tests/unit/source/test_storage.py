import os
from pathlib import Path

import pytest

from nodeagent.source import storage


def test_tmpfs_is_memory(memory):
    assert storage.is_memory(memory)


def test_a_disk_is_not_memory(disk):
    assert not storage.is_memory(disk)


def test_the_file_counts_not_the_link_to_it(memory, disk):
    (memory / "link").symlink_to(disk)
    assert not storage.is_memory(memory / "link")


def test_a_passable_directory_is_open_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        storage.make_passable(tmp_path / "a/b")
        storage.make_passable(tmp_path / "a/b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a/b")] == [0o755] * 2


def test_a_missing_path_is_an_error_that_names_it():
    with pytest.raises(FileNotFoundError, match="/no/such/path"):
        storage.is_memory(Path("/no/such/path"))
