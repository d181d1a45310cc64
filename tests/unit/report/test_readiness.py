from pathlib import Path

import pytest

from nodeagent.report import readiness


def test_what_was_written_is_read_by_anybody(tmp_path: Path) -> None:
    readiness.write(str(tmp_path), "main@sha1:abc")
    assert readiness.read(str(tmp_path)) == "main@sha1:abc"
    assert (tmp_path / "ready").stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["ready"]


def test_what_was_removed_or_never_there_is_none(tmp_path: Path) -> None:
    assert readiness.read(str(tmp_path)) is None
    readiness.write(str(tmp_path), "main@sha1:abc")
    readiness.remove(str(tmp_path))
    readiness.remove(str(tmp_path))
    assert readiness.read(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "main@sha1:abc\n", "main@sha1:abc\nanother boot\n", "a\nb\nc\n"])
def test_a_file_of_another_boot_or_kind_does_not_count(tmp_path: Path, text: str) -> None:
    (tmp_path / "ready").write_text(text)
    assert readiness.read(str(tmp_path)) is None


def test_a_directory_that_is_not_there_is_an_error_for_the_writer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        readiness.write(str(tmp_path / "none"), "main@sha1:abc")
