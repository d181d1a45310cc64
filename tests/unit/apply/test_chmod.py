"""--chmod; tests/integration/test_copy_rsync.py compares it with rsync's own."""

import stat

import pytest

from nodeagent.apply.chmod import changed, parse_changes

FILE, DIRECTORY = stat.S_IFREG, stat.S_IFDIR


@pytest.mark.parametrize(
    ("words", "mode", "expected"),
    [
        (["F600"], FILE | 0o644, 0o600),
        (["F600"], DIRECTORY | 0o755, 0o755),
        (["D2775,F664"], DIRECTORY | 0o755, 0o2775),
        (["D2775,F664"], FILE | 0o755, 0o664),
        (["u=rwX,go=rX"], FILE | 0o600, 0o644),
        (["u=rwX,go=rX"], FILE | 0o700, 0o755),
        (["u=rwX,go=rX"], DIRECTORY | 0o700, 0o755),
        (["go-rwx"], FILE | 0o755, 0o700),
        (["a+r"], FILE | 0o200, 0o644),
        (["+rw"], FILE | 0o000, 0o644),  # but for the umask
        (["=r"], FILE | 0o777, 0o444),
        (["-w"], FILE | 0o666, 0o466),  # likewise
        (["u+s"], FILE | 0o755, 0o4755),
        (["ug-s"], FILE | 0o6755, 0o755),
        (["g=s"], FILE | 0o775, 0o2705),
        (["+t"], DIRECTORY | 0o777, 0o1777),
        (["F644", "u+x"], FILE | 0o600, 0o744),
        (["Fgo-w", "Dgo-w"], FILE | 0o666, 0o644),
    ],
)
def test_a_change_makes_of_a_mode(words, mode, expected):
    changes = parse_changes(words)
    assert oct(stat.S_IMODE(changed(mode, changes, umask=0o022))) == oct(expected)


def test_a_link_has_no_mode_to_change():
    assert changed(stat.S_IFLNK | 0o777, parse_changes(["600"]), umask=0) == stat.S_IFLNK | 0o777


@pytest.mark.parametrize("word", ["", "u", "9", "10000", "u755", "DF644", "u+r-w", "g=u", "a+s", "+s", "u+q", "644,"])
def test_what_rsync_refuses_or_its_versions_do_differently_is_not_understood(word):
    assert parse_changes([word]) is None
