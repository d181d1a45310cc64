import os
import stat

import pytest

from nodeagent.enroll.keys import KeyFiles, make_password
from nodeagent.errors import InvalidConfiguration

CONTENT = {"private": b"private", "public": b"public", "encrypted": b"encrypted"}


def test_the_three_files_are_written_and_the_secret_ones_closed(tmp_path):
    before = os.umask(0)
    try:
        KeyFiles.below(tmp_path / "new").write(**CONTENT)
    finally:
        os.umask(before)

    found = {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "new").iterdir()}
    assert found == {"key": (b"private", 0o600), "key.pub": (b"public", 0o644), "key.enc": (b"encrypted", 0o600)}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("there", ["key", "key.pub", "key.enc"])
def test_nothing_is_overwritten_and_nothing_is_left_half_made(tmp_path, there):
    (tmp_path / there).write_bytes(b"precious")

    with pytest.raises(InvalidConfiguration, match=f"{there}: is there already"):
        KeyFiles.below(tmp_path).write(**CONTENT)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {there: b"precious"}


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "key").symlink_to("elsewhere")

    with pytest.raises(InvalidConfiguration):
        KeyFiles.below(tmp_path).write(**CONTENT)
    assert os.listdir(tmp_path) == ["key"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(InvalidConfiguration, match="file"):
        KeyFiles.below(tmp_path / "file").write(**CONTENT)


def test_passwords_are_long_one_line_and_never_the_same():
    made = {make_password() for _ in range(100)}

    assert len(made) == 100
    assert all(len(password) >= 32 and password.isascii() and password.isprintable() for password in made)
